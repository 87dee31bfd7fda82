"""Deployments that are broken on purpose, and the proof of what they kept."""
