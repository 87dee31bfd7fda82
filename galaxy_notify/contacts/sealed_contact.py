"""A contact as it is stored, and back."""

from __future__ import annotations

from typing import Any

from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.sealing import ContactPlace, Sealer
from galaxy_notify.errors import Corrupt
from galaxy_notify.redis_state.contacts import ContactChange, StoredContact


def sealed_contact(sealer: Sealer, user: str, contact: Contact, expected: bytes) -> ContactChange:
    """Return the change that stores a contact where *expected* is held."""
    content = {
        "address": contact.address,
        "data": contact.data,
        "created_at_ms": contact.created_at_ms,
        "disabled_at_ms": contact.disabled_at_ms,
        "disabled_reason": contact.disabled_reason,
    }
    value = sealer.seal(ContactPlace(user, contact.channel, contact.id), content)
    return ContactChange(contact.channel, contact.id, value, expected)


def opened_contact(sealer: Sealer, user: str, stored: StoredContact, kind: str) -> Contact:
    """Return a stored contact of a channel of this kind; raise `Corrupt` with the reason."""
    content = sealer.open(ContactPlace(user, stored.channel, stored.id), stored.value)
    return _contact(stored, kind, content)


def _contact(stored: StoredContact, kind: str, content: dict[str, Any]) -> Contact:
    address, data, created = (content.get(x) for x in ("address", "data", "created_at_ms"))
    disabled, reason = content.get("disabled_at_ms"), content.get("disabled_reason")
    if not (isinstance(address, str) and isinstance(data, dict) and type(created) is int):
        raise Corrupt("its content lacks an address, data or a time")
    if not (disabled is None or type(disabled) is int) or not isinstance(reason, str):
        raise Corrupt("its content does not say whether it is disabled")
    return Contact(stored.id, stored.channel, kind, address, data, created, disabled, reason)
