    SELECT id, at, unread::int AS was_unread, unseen::int AS was_unseen
    FROM feed_item
    WHERE
        user_id = %(user)s
        AND {unchanged}
        AND (at, id) < (timestamptz 'epoch' + %(at_us)s * interval '1 microsecond', %(id)s::bigint)
    ORDER BY at DESC, id DESC
    LIMIT %(most)s
