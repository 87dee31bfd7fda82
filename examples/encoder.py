"""An encoder of one's own: `gateway.encoder = "encoder:compact"`.

The daemon imports it, so it must be on its path: PYTHONPATH=examples galaxy-notify run
"""

from __future__ import annotations

import json

from galaxy_notify.encoding import payload
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route


def compact(notification: Notification, route: Route) -> bytes:
    """Return what a web client shows, as JSON.

    It runs on the event loop of the daemon, once for each route: no network, no files. Raising
    `TransientEncodingError` asks for another attempt; anything else is a dead letter at once.
    """
    said = payload(notification)
    shown = {"text": said.get("title") or said.get("body") or said["type"], "again": _again(route)}
    return json.dumps(shown, ensure_ascii=False).encode()


def _again(route: Route) -> bool:
    """Tell whether an operator has replayed it."""
    return route.generation > 1
