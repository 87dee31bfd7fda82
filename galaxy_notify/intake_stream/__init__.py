"""Intents from a Redis stream: reading, accepting, rejecting."""
