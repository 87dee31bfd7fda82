-- Users whose counts changed since a time, in the order of users. What was changed is found first:
-- the index says where, and does not say in which order.
WITH changed AS MATERIALIZED (
    SELECT user_id, unread, unseen, version, changed_at
    FROM feed_user
    WHERE changed_at >= timestamptz 'epoch' + %(since_ms)s * interval '1 millisecond'
)

SELECT
    user_id, unread, unseen, version, epoch,
    floor(extract(epoch FROM changed_at) * 1000)::bigint
FROM changed, feed_epoch
WHERE user_id > %(after)s
ORDER BY user_id
LIMIT %(most)s
