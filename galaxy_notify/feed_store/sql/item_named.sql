-- The notifications of rows; those of other users are not found.
SELECT notification_id
FROM feed_item
WHERE user_id = %(user)s AND id = ANY(%(rows)s::bigint[])
