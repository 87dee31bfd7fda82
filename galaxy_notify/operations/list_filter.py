"""The filter of a list of notifications."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.model.route import NEEDING, Status
from galaxy_notify.redis_inspect.listing import AcceptedBetween, ListSummary

#: Stands for every status of a route that still needs its notification.
OPEN: Final = "open"
STATES: Final = (OPEN, *map(str, Status))


@dataclass(frozen=True)
class ListFilter:
    """What a notification must be; empty means anything. Times are those of accept, included.

    ``states`` are statuses of routes, or ``open``: it matches with any of its routes, or with those
    of ``user`` where one is given. Raises `InvalidQuery`.
    """

    states: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    producers: tuple[str, ...] = ()
    user: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in STATES:
                raise InvalidQuery("state", f"must be one of {', '.join(STATES)}")
        if self.user is not None and not re.fullmatch(RECIPIENT, self.user):
            raise InvalidQuery("user", f"must match {RECIPIENT}")
        for name, ms in (("since", self.since_ms), ("until", self.until_ms)):
            if ms is not None and not 0 <= ms < 10**14:
                raise InvalidQuery(name, "must be epoch milliseconds")

    @property
    def span(self) -> AcceptedBetween:
        """Return when what is wanted was accepted."""
        return AcceptedBetween(self.since_ms, self.until_ms)

    def routes(self, channels: Collection[str]) -> list[str] | None:
        """Return the routes whose statuses decide; None for all of each notification."""
        if self.user is None:
            return None
        return [f"{channel}:{self.user}" for channel in channels]

    def is_about(self, seen: ListSummary) -> bool:
        """Return whether it is of a type and from a producer that is wanted."""
        record = seen.record
        return (not self.types or (record is not None and record.type in self.types)) and (
            not self.producers or (record is not None and record.producer in self.producers)
        )

    def has_state(self, seen: ListSummary) -> bool:
        """Return whether a route of a notification, or of a part, is wanted."""
        if self.user is None:
            if OPEN in self.states and seen.open:
                return True
            return not self.states or any(seen.statuses[state] for state in self.states)
        return any(
            not self.states or status in self.states or (OPEN in self.states and status in NEEDING)
            for status, count in seen.statuses.items()
            if count
        )
