"""What the benchmark of webhooks runs beside it, and what it fills in before."""
