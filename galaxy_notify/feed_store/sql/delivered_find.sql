-- Which of some items are there, each once, and which of these do not name all given channels yet. A
-- retracted one never does, and is not changed.
SELECT
    feed_item.user_id, feed_item.notification_id,
    feed_item.retracted_at IS NULL AND NOT feed_item.delivered_via @> given.channels
FROM (
    SELECT user_id, notification_id, array_agg(DISTINCT channel) AS channels
    FROM unnest(%(user_id)s::text[], %(notification_id)s::text[], %(channel)s::text[])
        AS one (user_id, notification_id, channel)
    GROUP BY user_id, notification_id
) AS given
INNER JOIN feed_item
    ON feed_item.notification_id = given.notification_id AND feed_item.user_id = given.user_id
