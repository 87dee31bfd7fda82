"""What every long-running process needs: signals, its supervisor, the start, a process id."""
