"""Publishes due routes to the gateway stream: claim, encode, settle."""
