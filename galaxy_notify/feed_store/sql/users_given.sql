users AS (SELECT DISTINCT user_id FROM unnest(%(users)s::text[]) AS given (user_id))
