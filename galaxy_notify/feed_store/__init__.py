"""The rows of the feed in Postgres."""
