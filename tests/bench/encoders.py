"""Encoders that fail, for the share of notifications that their names say."""

from __future__ import annotations

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route


def retry_1(notification: Notification, route: Route) -> bytes:
    """Fail once for 1 % of the notifications."""
    return _passing(notification, route, 1)


def retry_50(notification: Notification, route: Route) -> bytes:
    """Fail once for half of the notifications."""
    return _passing(notification, route, 50)


def bury_1(notification: Notification, route: Route) -> bytes:
    """Fail for good for 1 % of the notifications."""
    return _lasting(notification, 1)


def bury_50(notification: Notification, route: Route) -> bytes:
    """Fail for good for half of the notifications."""
    return _lasting(notification, 50)


def bury_all(notification: Notification, route: Route) -> bytes:
    """Fail for good."""
    return _lasting(notification, 100)


def _passing(notification: Notification, route: Route, percent: int) -> bytes:
    if route.attempts == 0 and _share(notification) < percent:
        raise TransientEncodingError("the template service is busy")
    return notification.packed


def _lasting(notification: Notification, percent: int) -> bytes:
    if _share(notification) < percent:
        raise ValueError("the template has no title")
    return notification.packed


def _share(notification: Notification) -> int:
    return int(notification.notification_id[-4:], 16) * 100 >> 16
