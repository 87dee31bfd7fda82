"""E-mails: what they say, and the bytes that carry it."""
