-- What this connection goes by, and whether the server takes writes.
SELECT
    current_setting('server_version_num')::int,
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
    current_user::text,
    current_setting('autovacuum') = 'on',
    pg_backend_pid()
