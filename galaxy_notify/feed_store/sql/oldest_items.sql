-- The next rows, oldest first, and which of them are too old. Rows are numbered when they come into
-- the feed, so this is the order of their times, but for those of transactions side by side.
SELECT id, user_id, at < clock_timestamp() - %(days)s * interval '1 day'
FROM feed_item
WHERE id > %(after)s
ORDER BY id
LIMIT %(most)s
