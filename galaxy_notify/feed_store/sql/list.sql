-- A page of a user's list, with the counts and the end of what was looked at: at least one row,
-- whose item is null where there is none.
WITH looked AS MATERIALIZED (
    SELECT *
    FROM feed_item
    WHERE
        user_id = %(user)s
        AND {shelf}
        AND (at, id) < (timestamptz 'epoch' + %(at_us)s * interval '1 microsecond', %(id)s::bigint)
    ORDER BY at DESC, id DESC
    LIMIT {most}
),

wanted AS (
    SELECT *
    FROM looked
    WHERE
        (%(types)s::text[] IS NULL OR type = ANY(%(types)s::text[]))
        AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
        AND (%(unread)s::boolean IS NOT true OR read_at IS NULL)
    LIMIT %(wanted)s
),

-- The page ends behind the item with which it becomes too large.
fitting AS (
    SELECT *
    FROM (
        SELECT
            *,
            sum(octet_length(title) + octet_length(body) + octet_length(payload))
                OVER (ORDER BY at DESC, id DESC ROWS UNBOUNDED PRECEDING)
            - octet_length(title) - octet_length(body) - octet_length(payload) AS before
        FROM wanted
    ) AS sized
    WHERE before <= %(most_bytes)s
),

last AS (SELECT at, id FROM looked ORDER BY at, id LIMIT 1)

SELECT
    coalesce(feed_user.unread, 0), coalesce(feed_user.unseen, 0), coalesce(version, 0), epoch,
    (SELECT count(*) FROM looked), (SELECT count(*) FROM wanted),
    (SELECT (extract(epoch FROM at) * 1000000)::bigint FROM last), (SELECT id FROM last),
    (extract(epoch FROM fitting.at) * 1000000)::bigint,
    fitting.id, notification_id, type, producer, severity, title, body, payload,
    floor(extract(epoch FROM created_at) * 1000)::bigint,
    floor(extract(epoch FROM seen_at) * 1000)::bigint,
    floor(extract(epoch FROM read_at) * 1000)::bigint,
    floor(extract(epoch FROM archived_at) * 1000)::bigint,
    delivered_via
FROM feed_epoch
LEFT JOIN feed_user ON feed_user.user_id = %(user)s
LEFT JOIN fitting ON true
ORDER BY fitting.at DESC, fitting.id DESC
