"""Rejects of the intent stream: which are meant, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.operations.refusal import refusal
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_inspect.rejects import (
    RejectRow,
    find_rejects,
    newest_reject,
    purge_rejects,
    rejects_between,
    replay_rejects,
)
from galaxy_notify.redis_state.deployment import Deployment, server_now
from galaxy_notify.redis_state.keys import IntentKeys
from galaxy_notify.redis_state.words import Word

_CHUNK: Final = 100
_REASONS: Final[dict[str, str]] = {
    Word.CUT: "only the beginning of the intent was kept",
    Word.BARE: "the entry had no intent",
}


@dataclass(frozen=True)
class RejectFilter:
    """What a reject must be; empty means anything. Times are included."""

    codes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None


class Rejects:
    """The rejects of one intent stream; every method that reads raises `RedisFault`."""

    def __init__(self, deployment: Deployment, keys: IntentKeys) -> None:
        self._deployment = deployment
        self._keys = keys

    def now_ms(self) -> int:
        """Return the server's time, by which entries of a stream are named."""
        return server_now(self._deployment)

    def matching(self, wanted: RejectFilter) -> Iterator[RejectRow]:
        """Yield the rejects of a filter that are there now, the oldest first."""
        newest = newest_reject(self._deployment, self._keys)
        if newest is None:
            return
        # What is replayed and rejected once more has a later id: it is not met again.
        first = "-" if wanted.since_ms is None else str(wanted.since_ms)
        last = newest
        if wanted.until_ms is not None and wanted.until_ms < int(newest.partition("-")[0]):
            last = str(wanted.until_ms)
        rows = rejects_between(self._deployment, self._keys, first, last)
        yield from islice(
            (row for row in rows if not wanted.codes or row.text("code") in wanted.codes),
            wanted.limit,
        )

    def find(self, ids: Sequence[str]) -> list[RejectRow | None]:
        """Return the rejects of these ids, None for each that does not exist."""
        return find_rejects(self._deployment, self._keys, ids)

    def replay(self, ids: Iterable[str]) -> MoveOutcome:
        """Hand the intents in again; each moves once, however often it is asked."""
        return self._move(ids, replay_rejects)

    def purge(self, ids: Iterable[str]) -> MoveOutcome:
        """Purge them."""
        return self._move(ids, purge_rejects)

    def _move(
        self,
        ids: Iterable[str],
        move: Callable[[Deployment, IntentKeys, Sequence[str]], list[str | RedisFault]],
    ) -> MoveOutcome:
        outcome, rest = MoveOutcome(), iter(ids)
        try:
            while chunk := list(islice(rest, _CHUNK)):
                outcome.matched += len(chunk)
                _count(outcome, move(self._deployment, self._keys, chunk))
        except RedisFault as error:
            if not outcome.matched:
                raise
            outcome.fault = refusal(error.fault)
        return outcome


def _count(outcome: MoveOutcome, words: Iterable[str | RedisFault]) -> None:
    for word in words:
        if isinstance(word, RedisFault):
            outcome.failed[refusal(word.fault)] += 1
        elif word == Word.MOVED:
            outcome.moved += 1
        elif word == Word.GONE:
            outcome.gone += 1
        else:
            outcome.failed[_REASONS.get(word, word)] += 1
