"""Accepting in the background: a bounded queue, the thread that sends it, and the spill."""
