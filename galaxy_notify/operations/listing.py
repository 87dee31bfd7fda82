"""A list of notifications, the newest first, page by page."""

from __future__ import annotations

import base64
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.errors import Corrupt, InvalidQuery
from galaxy_notify.model.ids import part_id
from galaxy_notify.model.route import Status
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.redis_client.flows import Flow, run_flow_sync
from galaxy_notify.redis_inspect.listing import (
    MOST_IDS,
    ListEntry,
    ListPosition,
    ListSummary,
    Merge,
    read_part_summaries,
    read_summaries,
)
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.shared_settings import KeySpace

MOST_ITEMS: Final = 100
#: What one page looks at: notifications and parts, bytes of records, statuses of routes.
MOST_LOOKED: Final = 1000
_MOST_BYTES: Final = 8 << 20
_MOST_ROUTES: Final = 10_000
_CHUNK: Final = 100
# This many parts of a notification are read.
_MOST_PARTS: Final = 100
# A cursor: a number for its form, the time, the shard, the number within the time, the place in
# the entry.
_CURSOR_FORM: Final = struct.Struct(">BQHQH")
_CURSOR: Final = 1
#: Stands for the status of a whole whose routes have several.
MIXED: Final = "mixed"


@dataclass(frozen=True)
class Item:
    """One line of the list; its statuses are those of the user's routes, if a user was named."""

    listed: ListEntry
    seen: ListSummary

    @property
    def is_whole(self) -> bool:
        """Return whether every part was looked at."""
        record = self.seen.record
        return record is not None and self.seen.parts >= record.parts

    @property
    def state(self) -> str | None:
        """Return the status that every route has, or ``mixed``; None where that is not known."""
        statuses = list(self.seen.statuses)
        if len(statuses) > 1:
            return MIXED
        return statuses[0] if statuses and self.is_whole else None

    def as_json(self) -> dict[str, Any]:
        """Return what ``list --json`` prints; what cannot be read is null."""
        record, seen = self.seen.record, self.seen
        return {
            "notification_id": self.listed.notification_id,
            "type": record and record.type,
            "producer": record and record.producer,
            "severity": self._severity,
            "accepted_at_ms": self.listed.position.ms,
            "created_at_ms": record and record.created_at_ms,
            "due_at_ms": seen.moved_to_ms or (record and record.due_at_ms),
            "expires_at_ms": record and record.expires_at_ms,
            "routes": record and max(record.routes, seen.statuses.total()),
            "open": seen.open,
            "cancelled": self.state == Status.CANCELLED,
            "parts": record and record.parts,
            "state": self.state,
            "states": dict(sorted(seen.statuses.items())) or None,
        }

    @property
    def has_all_routes(self) -> bool:
        """Return whether ``routes`` counts those of every part."""
        record, seen = self.seen.record, self.seen
        if record is None or record.parts == 1:
            return True
        return self.is_whole and seen.statuses.total() >= record.routes

    @property
    def _severity(self) -> str | None:
        try:
            return self.seen.record.severity if self.seen.record else None
        except Corrupt:
            return None


@dataclass
class Page:
    """Some of the list; without a cursor it was the last.

    It may be shorter than asked for, and even empty, while there is more. *foreign* are keys in
    which no list can be kept, because they hold something else: their shards are left out.
    """

    items: list[Item] = field(default_factory=list)
    cursor: str | None = None
    foreign: list[str] = field(default_factory=list)


def list_notifications(
    deployment: Deployment, wanted: ListFilter, limit: int = MOST_ITEMS, cursor: str | None = None
) -> Page:
    """Return a page of what was accepted, the newest first; see `list_flow`."""
    return run_flow_sync(deployment.client, list_flow(deployment.key_space, wanted, limit, cursor))


def list_flow(
    key_space: KeySpace, wanted: ListFilter, limit: int = MOST_ITEMS, cursor: str | None = None
) -> Flow[Page]:
    """Read a page of what was accepted, the newest first, with what was cancelled since.

    From page to page nothing comes twice, and nothing that stays is left out, even if notifications
    are accepted or end meanwhile. A page reads a bounded number of notifications with any filter.
    Raises `InvalidQuery` and `RedisFault`.
    """
    if not 1 <= limit <= MOST_ITEMS:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {MOST_ITEMS}")
    after = None if cursor is None else read_cursor(cursor, key_space.shared.shards)
    reading = _Reading(key_space, wanted, limit, Merge(key_space, wanted.span, after))
    yield from reading.run()
    return reading.page()


@dataclass
class _Reading:
    """One page in the making."""

    key_space: KeySpace
    wanted: ListFilter
    limit: int
    merge: Merge
    items: list[Item] = field(default_factory=list)
    last: ListPosition | None = None
    looked: int = 0
    bytes: int = 0
    routes: int = 0

    def run(self) -> Flow[None]:
        """Read one notification after the other until the page is full, or its bound is reached."""
        routes = self.wanted.routes(self.key_space.shared.channels)
        while not self._has_enough():
            self.looked += yield from self.merge.fill()
            chunk = self.merge.pop(self._chunk)
            if not chunk and not self.merge.may_have_more:
                return
            seen = (yield from read_summaries(self.key_space, chunk, routes)) if chunk else []
            for index, (listed, one) in enumerate(zip(chunk, seen, strict=False)):
                # The first is always read, so that a page makes progress.
                if index and self._has_enough():
                    seen = seen[:index]
                    break
                yield from self._add(listed, one, routes)
            self.merge.put_back(chunk[len(seen) :])

    def page(self) -> Page:
        """Return what was found."""
        reached = self.merge.reached(self.last) if self.merge.may_have_more else None
        cursor = write_cursor(reached) if reached else None
        return Page(self.items, cursor, self.merge.foreign)

    def _has_enough(self) -> bool:
        return (
            len(self.items) >= self.limit
            or self.looked >= MOST_LOOKED
            or self.bytes >= _MOST_BYTES
            or self.routes >= _MOST_ROUTES
        )

    @property
    def _chunk(self) -> int:
        """Return how many to look at next: without a filter no more than the page has room for."""
        is_any = self.wanted == ListFilter()
        room = self.limit - len(self.items) if is_any else MOST_LOOKED - self.looked
        return max(1, min(_CHUNK, room))

    def _add(self, listed: ListEntry, seen: ListSummary, routes: list[str] | None) -> Flow[None]:
        self.last = listed.position
        self.looked += 1
        self.bytes += seen.record_bytes
        self.routes += seen.statuses.total()
        if not (seen.exists and self.wanted.is_about(seen)):
            return
        whole = yield from self._with_parts(listed, seen, routes)
        if self.wanted.has_state(whole):
            self.items.append(Item(listed, whole))

    def _with_parts(
        self, listed: ListEntry, seen: ListSummary, routes: list[str] | None
    ) -> Flow[ListSummary]:
        """Add the parts that follow the first, until as many routes were read as a page reads."""
        parts = min(seen.record.parts, _MOST_PARTS) if seen.record else 1
        names = [part_id(listed.notification_id, number) for number in range(2, parts + 1)]
        while names and seen.statuses.total() < _MOST_ROUTES:
            found = yield from read_part_summaries(self.key_space, names, routes)
            for name in names[:]:
                if name in found and seen.statuses.total() < _MOST_ROUTES:
                    names.remove(name)
                    seen += found[name]
                    self.looked += 1
                    self.routes += found[name].statuses.total()
        return seen


def write_cursor(position: ListPosition) -> str:
    """Return the cursor of the page behind a position."""
    return base64.urlsafe_b64encode(_CURSOR_FORM.pack(_CURSOR, *position)).decode()


def read_cursor(text: str, shards: int) -> ListPosition:
    """Return the position behind which a page begins; raise `InvalidQuery`."""
    with suppress(ValueError, struct.error):
        number, *values = _CURSOR_FORM.unpack(base64.b64decode(text, b"-_", validate=True))
        position = ListPosition(*values)
        known = number == _CURSOR and position.place < MOST_IDS and position.shard < shards
        # Not every text that means a position is the one that we write for it.
        if known and write_cursor(position) == text:
            return position
    raise InvalidQuery("cursor", "is not a cursor of this list")
