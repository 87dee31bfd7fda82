    SELECT id, unread::int AS was_unread, unseen::int AS was_unseen
    FROM feed_item
    WHERE
        user_id = %(user)s
        AND notification_id = ANY(%(ids)s::text[])
        AND retracted_at IS NULL
        AND {unchanged}
