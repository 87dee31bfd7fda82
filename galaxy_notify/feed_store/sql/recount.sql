-- The counts of users as they are stored, and as their items say, both of one moment.
WITH RECURSIVE {users}

SELECT
    users.user_id,
    coalesce(feed_user.unread, 0), coalesce(feed_user.unseen, 0), coalesce(version, 0), epoch,
    (SELECT count(*) FROM feed_item WHERE feed_item.user_id = users.user_id AND feed_item.unread),
    (SELECT count(*) FROM feed_item WHERE feed_item.user_id = users.user_id AND feed_item.unseen)
FROM feed_epoch
CROSS JOIN users
LEFT JOIN feed_user ON feed_user.user_id = users.user_id
ORDER BY users.user_id
