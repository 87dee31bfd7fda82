-- Some rows of a user; each row is in the index of one of the three conditions.
(
    SELECT id FROM feed_item
    WHERE user_id = %(user)s AND archived_at IS NULL AND retracted_at IS NULL
    LIMIT %(most)s
)
UNION ALL
(
    SELECT id FROM feed_item
    WHERE user_id = %(user)s AND archived_at IS NOT NULL AND retracted_at IS NULL
    LIMIT %(most)s
)
UNION ALL
(
    SELECT id FROM feed_item
    WHERE user_id = %(user)s AND retracted_at IS NOT NULL
    LIMIT %(most)s
)
LIMIT %(most)s
