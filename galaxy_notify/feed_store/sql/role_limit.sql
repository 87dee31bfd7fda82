-- A time-out of every session of this user in this database.
DO $$
BEGIN
    EXECUTE format(
        'ALTER ROLE CURRENT_USER IN DATABASE %I SET {name} = {milliseconds}', current_database()
    );
END
$$
