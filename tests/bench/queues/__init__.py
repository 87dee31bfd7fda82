"""Job queues side by side: each does the same jobs, and is asked the same questions."""
