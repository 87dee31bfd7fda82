"""External channels: what is sent to addresses outside, and what keeps that from doing harm."""
