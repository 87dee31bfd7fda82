"""Streams of events to many connections: ours, and Socket.IO beside it."""
