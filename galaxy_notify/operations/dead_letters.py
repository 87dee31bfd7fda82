"""Dead letters for operators: look, page by page too, count, export, replay, purge."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.ids import Member, parse_target
from galaxy_notify.model.json_data import printable
from galaxy_notify.operations.dead_letter import DeadFilter, DeadLetterView
from galaxy_notify.operations.dead_moves import Mover, PurgeAction, ReplayAction, Run
from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.redis_state.dead_index import DeadLetterIndex, DeadPosition, DiedBetween
from galaxy_notify.redis_state.deployment import Deployment, server_now

#: The most dead letters of a page, and how many one page reads, with any filter.
MOST_ITEMS: Final = 100
MOST_LOOKED: Final = 1000
_CHUNK: Final = 64
_FOR_EVER: Final = 10**13


class Found(NamedTuple):
    """An id that was asked for, with its dead letter or None."""

    id: str
    letter: DeadLetterView | None


@dataclass
class DeadStats:
    """How many dead letters there are, of which kinds, and since when."""

    total: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None
    classes: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    producers: Counter[str] = field(default_factory=Counter)

    def add(self, letter: DeadLetterView) -> None:
        """Count one; they come in the order in which they died."""
        self.total += 1
        self.oldest_ms = letter.dead_at_ms if self.oldest_ms is None else self.oldest_ms
        self.newest_ms = letter.dead_at_ms
        self.classes[letter.failure_class] += 1
        self.channels[letter.channel] += 1
        self.types[letter.type] += 1
        self.producers[letter.producer] += 1


class DeadLetterReader:
    """The dead letters of a deployment; every method raises `RedisFault` or `Unavailable`.

    What is returned as an iterator is read as it goes, a few at a time, the oldest first.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._index = DeadLetterIndex(deployment)
        self._deployment = deployment

    def now_ms(self) -> int:
        """Return the server's time, by which dead letters die."""
        return server_now(self._deployment)

    def matching(self, wanted: DeadFilter) -> Iterator[DeadLetterView]:
        """Return the dead letters that match; raise `InvalidQuery` for an unknown channel."""
        return islice(filter(wanted.matches, self.every(wanted)), wanted.limit)

    def every(
        self, wanted: DeadFilter, after: DeadPosition | None = None
    ) -> Iterator[DeadLetterView]:
        """Return those of the filter's channels and times, with *after* only those behind it."""
        channels = self._channels(wanted)
        until = _FOR_EVER if wanted.until_ms is None else wanted.until_ms
        rows = self._index.rows(channels, DiedBetween(wanted.since_ms or 0, until), after)
        return map(DeadLetterView, rows)

    def find(self, ids: Iterable[str]) -> Iterator[Found]:
        """Yield the dead letter of each id; a notification's id stands for all of its own."""
        source = iter(ids)
        while chunk := list(islice(source, _CHUNK)):
            asked = list(self._members(chunk))
            names = [name for _, name in asked if name is not None]
            rows = dict(zip(names, self._index.find(names), strict=True))
            for text, name in asked:
                row = rows[name] if name else None
                yield Found(text, DeadLetterView(row) if row else None)

    def replay(self, chosen: DeadFilter | Iterable[str], run: Run) -> MoveOutcome:
        """Send dead letters on their way again; those that die meanwhile are left alone."""
        mover = Mover(ReplayAction(self._index, run.actor, run.may_repeat), run)
        return mover.move(self._letters(chosen, run))

    def purge(self, chosen: DeadFilter | Iterable[str], run: Run) -> MoveOutcome:
        """Purge dead letters; those that die meanwhile are left alone."""
        mover = Mover(PurgeAction(self._index, run.actor), run)
        return mover.move(self._letters(chosen, run))

    def as_of_now(self, wanted: DeadFilter) -> DeadFilter:
        """Return the filter without what dies from now on."""
        # Not the server's time: after its clock was set back, some died later than now.
        newest = self._index.newest_ms(self._channels(wanted))
        until = newest if wanted.until_ms is None else min(newest, wanted.until_ms)
        return replace(wanted, until_ms=until)

    def _letters(
        self, chosen: DeadFilter | Iterable[str], run: Run
    ) -> Iterator[DeadLetterView | None]:
        if isinstance(chosen, DeadFilter):
            return self.matching(self.as_of_now(chosen))
        return (run.own(found.letter) for found in self.find(chosen))

    def _channels(self, wanted: DeadFilter) -> tuple[str, ...]:
        """Return the channels to look at; one that was taken away may still have dead letters."""
        known = self._index.shared.channels
        for name in wanted.channels:
            if name not in known and not self._index.newest_ms([name]):
                shown = f'unknown channel "{printable(name)}" (known: {", ".join(known)})'
                raise InvalidQuery("channel", shown)
        return tuple(wanted.channels or known)

    def _members(self, texts: Iterable[str]) -> Iterator[tuple[str, Member | None]]:
        for text in texts:
            target = parse_target(text)
            if target is None:
                yield text, None
            elif target.route_id is not None:
                yield text, Member(target.notification_id, *target.route_id.split(":", 1))
            else:
                yield from self._dead_of(target.notification_id)

    def _dead_of(self, notification_id: str) -> Iterator[tuple[str, Member | None]]:
        none = True
        names = self._index.names_of(notification_id)
        while chunk := list(islice(names, _CHUNK)):
            for name, row in zip(chunk, self._index.find(chunk), strict=True):
                if row is not None:
                    none = False
                    yield f"{name.notification_id}/{name.route_id}", name
        if none:
            yield notification_id, None


def read_dead_page(
    deployment: Deployment, wanted: DeadFilter, cursor: str | None = None
) -> tuple[list[DeadLetterView], str | None]:
    """Return some dead letters and the cursor behind them, None at the end.

    From page to page each that rests there all the while comes exactly once. Raises `InvalidQuery`
    and `RedisFault`.
    """
    limit = MOST_ITEMS if wanted.limit is None else wanted.limit
    if not 1 <= limit <= MOST_ITEMS:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {MOST_ITEMS}")
    after = None if cursor is None else _read_cursor(cursor)
    found: list[DeadLetterView] = []
    for looked, letter in enumerate(DeadLetterReader(deployment).every(wanted, after), start=1):
        if wanted.matches(letter):
            found.append(letter)
        if len(found) == limit or looked == MOST_LOOKED:
            entry = letter.row.entry
            return found, _write_cursor(DeadPosition(entry.dead_at_ms, entry.member))
    return found, None


def _write_cursor(position: DeadPosition) -> str:
    raw = b"%d %s" % (position.dead_at_ms, position.member)
    return base64.urlsafe_b64encode(raw).decode()


def _read_cursor(text: str) -> DeadPosition:
    with suppress(ValueError):
        at, space, member = base64.b64decode(text, b"-_", validate=True).partition(b" ")
        position = DeadPosition(int(at), member)
        # Not every text that means a position is the one that is written for it.
        if space and 0 <= position.dead_at_ms < 10**15 and _write_cursor(position) == text:
            return position
    raise InvalidQuery("cursor", "is not a cursor of a dead-letter page")
