"""Encoders as a deployment might bring them, for daemons that run as processes."""

from __future__ import annotations

import os
import signal
import time

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route

#: What an encoder prints when it begins, for tests that wait until it did.
ROUND = "a round of the encoder"
_frozen: list[bool] = []


def frozen(notification: Notification, route: Route) -> bytes:
    """Freeze the process at the first route, until somebody lets it go on."""
    if not _frozen:
        _frozen.append(True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return notification.packed


def upper(notification: Notification, route: Route) -> bytes:
    """Publish who the notification is for, in capitals."""
    return b"U1"


def killer(notification: Notification, route: Route) -> bytes:
    """Kill the process for the notification titled so."""
    if notification.title == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return notification.packed


def stuck(notification: Notification, route: Route) -> bytes:
    """Never return for the notification titled so."""
    while notification.title == "hang":
        print(ROUND, flush=True)  # noqa: T201
        time.sleep(1)
    return notification.packed


def slow(notification: Notification, route: Route) -> bytes:
    """Take a fifth of a second, and print that it has begun."""
    print(ROUND, flush=True)  # noqa: T201
    time.sleep(0.2)
    return notification.packed


def flaky(notification: Notification, route: Route) -> bytes:
    """Ask for other attempts before the third."""
    if route.attempts < 2:
        raise TransientEncodingError("not yet")
    return notification.packed


def brisk(notification: Notification, route: Route) -> bytes:
    """Take two milliseconds, so that a batch is worth interrupting."""
    time.sleep(0.002)
    return notification.packed
