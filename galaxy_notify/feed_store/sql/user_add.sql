-- Rows of counts for users that have none yet, so that they can be locked.
-- In the order of users, as all that locks them: no two transactions wait for each other.
INSERT INTO feed_user (user_id)
SELECT given.user_id
FROM unnest(%(users)s::text[]) AS given (user_id)
WHERE NOT EXISTS (SELECT FROM feed_user WHERE feed_user.user_id = given.user_id)
ORDER BY given.user_id COLLATE "C"
ON CONFLICT (user_id) DO NOTHING
