-- Users with unread items, also where their counts are lost: from one to the next in the index.
holder (user_id) AS (
    (
        SELECT user_id FROM feed_item
        WHERE unread AND user_id > %(after)s
        ORDER BY user_id
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT feed_item.user_id FROM feed_item
        WHERE unread AND feed_item.user_id > holder.user_id
        ORDER BY feed_item.user_id
        LIMIT 1
    )
    FROM holder
    WHERE holder.user_id IS NOT NULL
),

users AS (
    (SELECT user_id FROM feed_user WHERE user_id > %(after)s ORDER BY user_id LIMIT %(most)s)
    UNION
    (SELECT user_id FROM holder WHERE user_id IS NOT NULL LIMIT %(most)s)
    ORDER BY user_id
    LIMIT %(most)s
)
