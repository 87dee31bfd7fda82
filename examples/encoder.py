"""A custom encoder: `gateway.encoder = "encoder:compact"`.

The daemon imports it, so it must be on the Python path: PYTHONPATH=examples galaxy-notify run
"""

from __future__ import annotations

import json

from galaxy_notify import TransientEncodingError
from galaxy_notify.encoding import payload
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route

#: The text that a client shows for a type without title and body.
WORDS = {"game.turn.ready": "It is your turn", "friend.request": "You have a new friend request"}


def compact(notification: Notification, route: Route) -> bytes:
    """Return the text for a web client, as JSON.

    It runs on the event loop of the daemon, once for each route: use no network and no files. Raise
    `TransientEncodingError` for another attempt; any other error makes a dead letter at once.
    """
    if not WORDS:
        raise TransientEncodingError("the words are not loaded yet")
    contents = payload(notification)
    kind = contents["type"]
    text = contents.get("title") or contents.get("body") or WORDS.get(kind, kind)
    shown = {"text": text, "again": _again(route)}
    return json.dumps(shown, ensure_ascii=False).encode()


def _again(route: Route) -> bool:
    """Return whether an operator has replayed the route."""
    return route.generation > 1
