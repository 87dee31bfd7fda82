"""Stored records and states, with None for a corrupt one."""

from __future__ import annotations

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import Route, decode_route


def readable_record(notification_id: str, raw: bytes | None) -> Notification | None:
    """Return the notification of a stored record; None if it is absent or corrupt."""
    try:
        return decode_notification(notification_id, raw or b"")
    except Corrupt:
        return None


def readable_route(state: bytes | None) -> Route | None:
    """Return the route of a state; None if it is absent or corrupt."""
    try:
        return decode_route(state or b"")
    except Corrupt:
        return None
