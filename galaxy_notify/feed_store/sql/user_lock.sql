-- The counts of users, each locked until the end of the transaction, in the order of users.
SELECT user_id, unread, unseen, version, (SELECT epoch FROM feed_epoch)
FROM feed_user
WHERE user_id = ANY(%(users)s::text[])
ORDER BY user_id
FOR NO KEY UPDATE OF feed_user {waiting}
