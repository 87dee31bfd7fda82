"""The check of all state: every index against the routes. Page by page, for whoever asks."""
