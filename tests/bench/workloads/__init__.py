"""The workloads: a module each, whose ``measure`` returns named figures."""
