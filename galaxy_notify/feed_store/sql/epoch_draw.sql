-- Above every epoch before, also where the clock was set back.
UPDATE feed_epoch
SET epoch = greatest(epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
RETURNING epoch
