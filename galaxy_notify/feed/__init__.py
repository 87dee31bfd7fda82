"""The feed: a persistent list of each user's notifications, with exact counts."""
