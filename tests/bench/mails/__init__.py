"""What the benchmark of e-mails runs beside it, and what it fills in before."""
