"""The recent list of a user, as operators see it: what a client that connects again can get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.live_event import LiveEvent, Retraction, unpack_live_event
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_state.deployment import Deployment, try_all
from galaxy_notify.redis_state.recent import stored_event

#: Events of the longest list: ``realtime.history`` is 300 at most.
MOST_EVENTS: Final = 300


@dataclass(frozen=True, slots=True)
class RecentEntry:
    """An entry of a recent list; *error* says why it, or its event, cannot be read."""

    cursor: Cursor | None
    event: LiveEvent | Retraction | None
    error: str = ""

    def as_json(self, *, payload: bool = False) -> dict[str, object]:
        """Return what ``stream user --json`` prints; *payload* adds what the event says."""
        place: dict[str, object] = {
            "offset": self.cursor.offset if self.cursor else None,
            "cursor": str(self.cursor) if self.cursor else None,
        }
        if self.event is None:
            return {**place, "error": self.error}
        if isinstance(self.event, Retraction):
            return {**place, "retracted": self.event.notification_id}
        shown = self.event.document()
        content = {name: shown.pop(name) for name in ("body", "data")}
        return {**place, **shown, **(content if payload else {})}


@dataclass(frozen=True, slots=True)
class RecentList:
    """The newest entries of a recent list, the oldest first.

    *length* counts all its events, *ttl_ms* is when it is forgotten without a further one. *error*
    says why the key holds no list.
    """

    entries: tuple[RecentEntry, ...]
    length: int
    ttl_ms: int | None
    error: str = ""

    @property
    def top(self) -> Cursor | None:
        """Return the cursor of the newest event."""
        return self.entries[-1].cursor if self.entries else None

    def as_json(self) -> Mapping[str, object]:
        """Return what ``users show --json`` prints of it."""
        return {
            "top": str(self.top) if self.top else None,
            "length": self.length,
            "ttl_ms": self.ttl_ms,
            "error": self.error or None,
            "events": [entry.as_json() for entry in self.entries],
        }


def read_recent(deployment: Deployment, user: str, most: int = MOST_EVENTS) -> RecentList:
    """Return the newest *most* events that are kept for a user; raise `RedisFault`."""
    key = deployment.key_space.keys_of_user(user).recent(user)
    found, length, ttl = try_all(
        deployment, [["LRANGE", key, -2 * most, -1], ["LLEN", key], ["PTTL", key]]
    )
    if isinstance(found, RedisFault) and found.fault.code == "WRONGTYPE":
        return RecentList((), 0, None, "the key has another type: `galaxy-notify fsck --fix`")
    flat, ttl_ms = list(unwrap(found)), int(unwrap(ttl))
    # An entry is a pair, and the last pair is the top: what is odd is the first.
    entries = tuple(map(_entry, flat[1 + len(flat) % 2 :: 2]))
    return RecentList(entries, int(unwrap(length)) // 2, ttl_ms if ttl_ms >= 0 else None)


def _entry(stored: Any) -> RecentEntry:
    try:
        found = stored_event(stored)
    except ValueError as error:
        return RecentEntry(None, None, f"no entry of a recent list: {error}"[:200])
    try:
        return RecentEntry(found.cursor, unpack_live_event(found.packed))
    except Corrupt as error:
        return RecentEntry(found.cursor, None, str(error))
