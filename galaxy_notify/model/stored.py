"""Stored records and states, with None for a corrupt one."""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import Route, decode_route


def readable_record(notification_id: str, fields: Mapping[bytes, bytes]) -> Notification | None:
    """Return the record in the fields of a notification; None if it is corrupt."""
    try:
        return decode_notification(notification_id, fields.get(b"record", b""))
    except Corrupt:
        return None


def readable_route(state: bytes) -> Route | None:
    """Return the route of a state; None if it is corrupt."""
    try:
        return decode_route(state)
    except Corrupt:
        return None
