SELECT to_regclass('feed_migration') IS NOT NULL
