-- The next rows of a user in one of its lists, newest first, without any lock: behind many that have
-- just left the list, finding them takes long the first time.
SELECT id, (extract(epoch FROM at) * 1000000)::bigint
FROM feed_item
WHERE
    user_id = %(user)s
    AND {listed}
    AND (at, id) < (timestamptz 'epoch' + %(at_us)s * interval '1 microsecond', %(id)s::bigint)
ORDER BY at DESC, id DESC
LIMIT {most}
