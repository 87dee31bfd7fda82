"""The two ways to move dead letters: replay and purge."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_state.dead_letters import DeadLetterIndex
from galaxy_notify.redis_state.dead_rows import (
    DeadRow,
    keep_ms_of,
    purge_of,
    replay_of,
    why_no_purge,
    why_no_replay,
)


class Action(Protocol):
    """One way to move dead letters."""

    def refusal(self, row: DeadRow) -> str:
        """Say why it cannot be moved; empty where it can."""

    def send(self, rows: Sequence[DeadRow]) -> list[str]:
        """Move dead letters of one shard and answer a word for each."""

    def is_mine(self, before: DeadRow, after: DeadRow) -> bool:
        """Tell whether what is stored now of one that is no longer dead is this run's doing."""


class Replay:
    """Sends dead letters on their way again."""

    def __init__(self, index: DeadLetterIndex, actor: str) -> None:
        self._index = index
        self._actor = actor

    def refusal(self, row: DeadRow) -> str:
        """Say why it cannot be replayed."""
        return why_no_replay(row)

    def send(self, rows: Sequence[DeadRow]) -> list[str]:
        """Replay dead letters of one shard."""
        changes = [replay_of(row, self._actor) for row in rows]
        return self._index.replay(rows[0].keys, changes)

    def is_mine(self, before: DeadRow, after: DeadRow) -> bool:
        """Tell whether it is in the generation that this run wrote, replayed by this actor."""
        was, now = before.route, after.route
        if was is None or now is None or now.generation <= was.generation:
            return False
        return _did(now, "replayed", self._actor, before.entry.dead_at_ms)


class Purge:
    """Gives dead letters up."""

    def __init__(self, index: DeadLetterIndex, actor: str) -> None:
        self._index = index
        self._actor = actor

    def refusal(self, row: DeadRow) -> str:
        """Say why it cannot be purged."""
        return why_no_purge(row)

    def send(self, rows: Sequence[DeadRow]) -> list[str]:
        """Purge dead letters of one shard."""
        words: dict[int, str] = {}
        deployment = self._index.deployment
        places = sorted(range(len(rows)), key=lambda i: keep_ms_of(rows[i], deployment))
        for keep_ms, group in groupby(places, key=lambda i: keep_ms_of(rows[i], deployment)):
            words |= self._send([*group], rows, keep_ms)
        return [words[i] for i in range(len(rows))]

    def is_mine(self, before: DeadRow, after: DeadRow) -> bool:
        """Tell whether this actor purged it, or nothing is left that could say who did."""
        if after.route is None:
            return True
        purged = after.route.status is Status.PURGED
        return purged and _did(after.route, "purged", self._actor, before.entry.dead_at_ms)

    def _send(self, places: list[int], rows: Sequence[DeadRow], keep_ms: int) -> dict[int, str]:
        changes = {i: change for i in places if (change := purge_of(rows[i], self._actor))}
        words = {i: self._index.forget(rows[i]) for i in places if i not in changes}
        if changes:
            told = self._index.purge(rows[places[0]].keys, changes.values(), keep_ms)
            words |= zip(changes, told, strict=True)
        return words


def _did(route: Route, event: str, actor: str, since_ms: int) -> bool:
    return any(
        line.event == event and line.worker == actor and line.at_ms >= since_ms
        for line in route.history
    )
