-- Items, and the counts of their users by how many of them are new. The users are locked.
WITH new AS (
    INSERT INTO feed_item (
        user_id, notification_id, type, producer, severity, title, body, payload, created_at
    )
    SELECT
        user_id, notification_id, type, producer, severity, title, body, payload,
        timestamptz 'epoch' + created_at_ms * interval '1 millisecond'
    FROM unnest(
        %(user_id)s::text[], %(notification_id)s::text[], %(type)s::text[], %(producer)s::text[],
        %(severity)s::text[], %(title)s::text[], %(body)s::text[], %(payload)s::bytea[],
        %(created_at_ms)s::bigint[]
    ) WITH ORDINALITY AS given (
        user_id, notification_id, type, producer, severity, title, body, payload, created_at_ms,
        place
    )
    ORDER BY user_id COLLATE "C", place
    ON CONFLICT (notification_id, user_id) DO NOTHING
    RETURNING user_id, notification_id
),

by_user AS (
    SELECT user_id, count(*) AS items, array_agg(notification_id) AS notification_ids
    FROM new
    GROUP BY user_id
)

UPDATE feed_user
SET
    unread = unread + items,
    unseen = unseen + items,
    version = version + 1,
    changed_at = clock_timestamp()
FROM by_user
WHERE feed_user.user_id = by_user.user_id
RETURNING
    feed_user.user_id, unread, unseen, version, (SELECT epoch FROM feed_epoch), notification_ids
