    , (SELECT count(*) FROM picked)
    , (SELECT (extract(epoch FROM at) * 1000000)::bigint FROM picked ORDER BY at, id LIMIT 1)
    , (SELECT id FROM picked ORDER BY at, id LIMIT 1)
