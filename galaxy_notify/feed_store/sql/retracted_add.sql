-- A row without text for each user that has none of the notification, which a later insert finds.
-- It counts nothing. The users are locked.
INSERT INTO feed_item (
    user_id, notification_id, type, producer, severity, title, body, payload, created_at,
    retracted_at
)
SELECT
    user_id, %(notification_id)s, '', '', '', '', '', '', statement_timestamp(),
    statement_timestamp()
FROM unnest(%(users)s::text[]) AS given (user_id)
ON CONFLICT (notification_id, user_id) DO NOTHING
