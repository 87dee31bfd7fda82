-- What this user may not do with the tables of the feed; those that are not there are left out.
SELECT array_agg(need || ' on ' || name ORDER BY name, need)
FROM (VALUES
    ('feed_epoch', 'SELECT'), ('feed_epoch', 'UPDATE'),
    ('feed_item', 'SELECT'), ('feed_item', 'INSERT'), ('feed_item', 'UPDATE'), ('feed_item', 'DELETE'),
    ('feed_user', 'SELECT'), ('feed_user', 'INSERT'), ('feed_user', 'UPDATE'), ('feed_user', 'DELETE')
) AS needed (name, need)
WHERE NOT has_table_privilege(to_regclass(name), need)
