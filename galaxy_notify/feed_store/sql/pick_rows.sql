    SELECT id, unread::int AS was_unread, unseen::int AS was_unseen
    FROM feed_item
    WHERE
        id = ANY(%(rows)s::bigint[])
        AND user_id = %(user)s
        AND retracted_at IS NULL
        AND {unchanged}
