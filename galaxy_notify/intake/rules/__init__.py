"""Rules per user at accept: preferences, quiet hours, cooldowns, collapse keys."""
