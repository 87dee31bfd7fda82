(
    -- Not more than there are: the search ends with the last one.
    SELECT coalesce(least(%(most)s, max({counted})), 0)
    FROM feed_user
    WHERE user_id = %(user)s
)
