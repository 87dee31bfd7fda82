-- The counts of the given users; all but the epoch are 0 where nothing is known of one.
SELECT given.user_id, coalesce(unread, 0), coalesce(unseen, 0), coalesce(version, 0), epoch
FROM unnest(%(users)s::text[]) AS given (user_id)
CROSS JOIN feed_epoch
LEFT JOIN feed_user ON feed_user.user_id = given.user_id COLLATE "C"
