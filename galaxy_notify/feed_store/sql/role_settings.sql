-- What is set for this user in this database.
SELECT array_agg(setting)
FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE
    setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
