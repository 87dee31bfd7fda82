"""The e-mail of the stage: what a channel of its own would send lies in a file instead.

The daemon imports `send` and `find` by the names that the settings of the stage give.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from galaxy_notify.channels.delivery import Delivery

#: Names the file.
POSTBOX_VARIABLE: Final = "DEMO_POSTBOX"
_MOST_KEPT: Final = 20


class Mail(NamedTuple):
    """An e-mail as its user finds it; the event's id is the same for each attempt to send it."""

    event_id: str
    notification_id: str
    user: str
    title: str
    at_ms: int


async def find(user: str, channel: str) -> list[dict[str, str]]:
    """Return the address of a user."""
    del channel
    return [{"address": f"{user}@example.com"}]


async def send(delivery: Delivery) -> None:
    """Put an e-mail into the postbox."""
    event = delivery.event
    mail = Mail(
        delivery.event_id,
        delivery.notification_id,
        delivery.user_id,
        event.title or event.type,
        time.time_ns() // 1_000_000,
    )
    line = json.dumps(mail).encode() + b"\n"
    # One write at the end of a file: it is there as a whole, or not at all.
    file = os.open(os.environ[POSTBOX_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


class Postbox:
    """Reads what was sent, each e-mail once: a daemon that was killed may send one again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._mails: dict[str, Mail] = {}

    def newest(self) -> list[Mail]:
        """Return the newest e-mails, the newest first."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._read_to += len(line)
            mail = Mail(*json.loads(line))
            self._mails.setdefault(mail.event_id, mail)
        while len(self._mails) > _MOST_KEPT:
            del self._mails[next(iter(self._mails))]
        return list(self._mails.values())[::-1]
