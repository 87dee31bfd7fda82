"""What every long-running process needs: signals, its supervisor, joining, a name."""
