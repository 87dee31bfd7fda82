"""Where external channels reach users: contacts, stored encrypted, or looked up elsewhere."""
