"""Handing events to users: into recent lists, to the processes that hold their streams."""
