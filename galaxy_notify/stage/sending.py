"""What the form of the stage may ask for, and the intent that becomes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from galaxy_notify.stage.people import USERS

_IN_S: Final = (0, 10)
_FIELDS: Final = frozenset({"to", "title", "body", "in_s", "urgent", "email", "key", "steady"})


class Refused(Exception):
    """The page asked for what the stage does not do; its text says why."""


class Sending(NamedTuple):
    """One notification on its way: to whom, when it is due, and what it says.

    One that is *steady* was sent by the page itself, not by a person.
    """

    users: tuple[str, ...]
    due_at_ms: int
    intent: Mapping[str, Any]
    steady: bool


def read_sending(asked: Any) -> Sending:
    """Read what the page asked for; raise `Refused`.

    Lengths and texts are checked where the intent is accepted, as those of any producer.
    """
    if not isinstance(asked, dict) or not asked.keys() <= _FIELDS:
        raise Refused("unknown fields")
    to, in_s = asked.get("to"), asked.get("in_s", 0)
    if not isinstance(to, list) or not to or not all(name in USERS for name in to):
        raise Refused("to: must name users of the stage")
    if isinstance(in_s, bool) or in_s not in _IN_S:
        raise Refused("in_s: must be 0 or 10")
    now_ms = time.time_ns() // 1_000_000
    intent = {
        "type": "stage.message",
        "producer": "stage",
        "recipients": list(dict.fromkeys(to)),
        "channels": ["in_app", "email"] if asked.get("email") is True else ["in_app"],
        "severity": "critical" if asked.get("urgent") is True else "info",
        "title": asked.get("title", ""),
        "body": asked.get("body", ""),
        "idempotency_key": asked.get("key"),
    }
    if in_s:
        intent["due_at"] = now_ms + in_s * 1000
    return Sending(
        tuple(intent["recipients"]), now_ms + in_s * 1000, intent, asked.get("steady") is True
    )
