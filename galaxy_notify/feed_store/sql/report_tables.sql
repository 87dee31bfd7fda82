-- Rows that live and that vacuum has not removed yet, and the bytes of each table with its indexes.
SELECT
    relname::text,
    n_live_tup,
    n_dead_tup,
    pg_total_relation_size(relid),
    (extract(epoch FROM greatest(last_vacuum, last_autovacuum)) * 1000)::bigint
FROM pg_stat_user_tables
WHERE relname IN ('feed_item', 'feed_user') AND schemaname = current_schema()
ORDER BY relname
