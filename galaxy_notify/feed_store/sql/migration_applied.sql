SELECT number, checksum FROM feed_migration
