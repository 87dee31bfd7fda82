"""Hands intents in: accepted once, or refused with the field that is wrong."""
