UPDATE feed_user
SET
    unread = %(unread)s,
    unseen = %(unseen)s,
    version = version + 1,
    changed_at = clock_timestamp()
WHERE user_id = %(user)s
RETURNING unread, unseen, version, (SELECT epoch FROM feed_epoch)
