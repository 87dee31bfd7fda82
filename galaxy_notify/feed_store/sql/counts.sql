SELECT coalesce(unread, 0), coalesce(unseen, 0), coalesce(version, 0), epoch
FROM feed_epoch
LEFT JOIN feed_user ON user_id = %(user)s
