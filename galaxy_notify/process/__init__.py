"""Parts of every long-running process: signals, supervisor, joining the deployment, process id."""
