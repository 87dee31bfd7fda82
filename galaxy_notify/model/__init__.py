"""Words of the project: intents, notifications, routes."""
