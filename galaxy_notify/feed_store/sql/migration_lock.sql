-- Of two processes that migrate one database, one waits here; the number stands for nothing else.
SELECT pg_advisory_xact_lock(7366918425)
