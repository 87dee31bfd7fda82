-- The next users that have a notification, retracted or not, of one of some producers or of any.
SELECT user_id
FROM feed_item
WHERE
    notification_id = %(notification_id)s
    AND user_id > %(after)s
    AND (%(producers)s::text[] IS NULL OR producer = ANY(%(producers)s::text[]))
ORDER BY user_id
LIMIT %(most)s
