"""Servers that a daemon or a demo starts for itself, and the folder of their data."""
