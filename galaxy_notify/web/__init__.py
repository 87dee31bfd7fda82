"""What every HTTP listener is made of: sockets, connections with bounds, problems, tokens."""
