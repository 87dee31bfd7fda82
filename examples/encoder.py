"""An encoder of one's own: `gateway.encoder = "encoder:compact"`.

The daemon imports it, so it must be on its path: PYTHONPATH=examples galaxy-notify run
"""

from __future__ import annotations

import json

from galaxy_notify import TransientEncodingError
from galaxy_notify.encoding import payload
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route

#: What a client shows for a type that says nothing itself.
WORDS = {"game.turn.ready": "It is your turn", "friend.request": "You have a new friend request"}


def compact(notification: Notification, route: Route) -> bytes:
    """Return what a web client shows, as JSON.

    It runs on the event loop of the daemon, once for each route: no network, no files. Raising
    `TransientEncodingError` asks for another attempt; anything else is a dead letter at once.
    """
    if not WORDS:
        raise TransientEncodingError("the words are not loaded yet")
    said = payload(notification)
    kind = said["type"]
    text = said.get("title") or said.get("body") or WORDS.get(kind, kind)
    shown = {"text": text, "again": _again(route)}
    return json.dumps(shown, ensure_ascii=False).encode()


def _again(route: Route) -> bool:
    """Tell whether an operator has replayed it."""
    return route.generation > 1
