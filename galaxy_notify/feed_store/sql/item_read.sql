-- Which of some notifications a user has read.
SELECT notification_id
FROM feed_item
WHERE
    notification_id = ANY(%(ids)s::text[])
    AND user_id = %(user)s
    AND read_at IS NOT NULL
