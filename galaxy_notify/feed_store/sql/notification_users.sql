-- The next users that have a notification, retracted or not.
SELECT user_id
FROM feed_item
WHERE notification_id = %(notification_id)s AND user_id > %(after)s
ORDER BY user_id
LIMIT %(most)s
