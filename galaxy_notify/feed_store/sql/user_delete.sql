DELETE FROM feed_user
WHERE user_id = %(user)s
