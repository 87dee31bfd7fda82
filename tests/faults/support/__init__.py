"""What the fault tests share: journal, load, history, checker, chaos."""
