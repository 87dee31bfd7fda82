"""What the workloads of the feed share: a Postgres, rows in it, and processes that use it."""
