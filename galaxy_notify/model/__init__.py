"""The data model: intents, notifications, routes, preferences."""
