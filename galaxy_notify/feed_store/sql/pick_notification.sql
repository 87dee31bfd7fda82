    SELECT id, unread::int AS was_unread, unseen::int AS was_unseen
    FROM feed_item
    WHERE
        notification_id = %(notification_id)s
        AND user_id = ANY(%(users)s::text[])
        AND retracted_at IS NULL
