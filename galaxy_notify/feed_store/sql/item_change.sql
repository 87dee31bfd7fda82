-- A change to items, and the counts of their users by what it really changed. The users are locked,
-- so what the items were is still true when they are changed.
WITH picked AS MATERIALIZED (
{picked}
),

changed AS (
    UPDATE feed_item
    SET {change}
    FROM picked
    WHERE feed_item.id = picked.id
    RETURNING
        feed_item.user_id,
        feed_item.unread::int - picked.was_unread AS unread,
        feed_item.unseen::int - picked.was_unseen AS unseen
),

by_user AS (
    SELECT user_id, sum(unread) AS unread, sum(unseen) AS unseen
    FROM changed
    GROUP BY user_id
)

UPDATE feed_user
SET
    unread = feed_user.unread + by_user.unread,
    unseen = feed_user.unseen + by_user.unseen,
    version = version + 1,
    changed_at = clock_timestamp()
FROM by_user
WHERE feed_user.user_id = by_user.user_id
RETURNING
    feed_user.user_id, feed_user.unread, feed_user.unseen, version, (SELECT epoch FROM feed_epoch)
