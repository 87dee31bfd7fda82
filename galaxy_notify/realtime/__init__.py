"""The real-time gateway: what comes out of the gateway stream, at the right connection."""
