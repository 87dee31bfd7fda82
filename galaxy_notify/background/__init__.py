"""Accepting beside the caller: a bounded queue, the thread that sends it, and the spill."""
