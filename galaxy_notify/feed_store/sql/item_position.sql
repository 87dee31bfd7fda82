-- Where an item is in the list of its user; retracted ones keep their place.
SELECT (extract(epoch FROM at) * 1000000)::bigint, id
FROM feed_item
WHERE user_id = %(user)s AND notification_id = %(notification_id)s
