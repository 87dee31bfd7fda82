"""Everything that speaks to Redis: keys, scripts, connections, and the embedded server."""
