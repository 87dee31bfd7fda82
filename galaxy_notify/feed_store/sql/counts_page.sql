-- The counts of the next users in their order, and when they changed.
SELECT
    user_id, unread, unseen, version, epoch,
    floor(extract(epoch FROM changed_at) * 1000)::bigint
FROM feed_user, feed_epoch
WHERE user_id > %(after)s
ORDER BY user_id
LIMIT %(most)s
