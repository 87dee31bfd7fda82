"""Benchmarks: real servers, processes measured from outside, ratios within one run."""
