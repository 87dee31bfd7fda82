"""What operators read in Redis: notifications, lists, dead letters, groups, servers."""
