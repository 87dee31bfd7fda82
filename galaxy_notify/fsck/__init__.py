"""The check of all state: every index against the routes. Page by page, for any caller."""
