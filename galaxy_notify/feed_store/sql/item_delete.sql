-- Deletes items, and moves the counts of their users by them. The users are locked.
WITH gone AS (
    DELETE FROM feed_item
    WHERE id = ANY(%(rows)s::bigint[])
    RETURNING user_id, unread, unseen
),

by_user AS (
    SELECT
        user_id,
        count(*) FILTER (WHERE unread) AS unread,
        count(*) FILTER (WHERE unseen) AS unseen
    FROM gone
    GROUP BY user_id
)

UPDATE feed_user
SET
    unread = feed_user.unread - by_user.unread,
    unseen = feed_user.unseen - by_user.unseen,
    version = version + 1,
    changed_at = clock_timestamp()
FROM by_user
WHERE feed_user.user_id = by_user.user_id
RETURNING
    feed_user.user_id, feed_user.unread, feed_user.unseen, version, (SELECT epoch FROM feed_epoch)
