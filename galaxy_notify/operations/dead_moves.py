"""Moves dead letters, batch by batch: an end at any point loses nothing and repeats nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Final

from galaxy_notify.model.route import Route, Status
from galaxy_notify.operations.dead_letter import DeadLetterView
from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.redis_client.durability import UNCONFIRMED
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.dead_index import DeadLetterIndex
from galaxy_notify.redis_state.dead_rows import BATCH, DeadRow
from galaxy_notify.redis_state.words import Word

_TRIES: Final = 3
_STEPS_PER_SECOND: Final = 10
_PAUSE_S: Final = 0.2


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@dataclass(frozen=True)
class Run:
    """How to move: who asks, how many a second at most, and where progress is reported.

    *pause* waits that many seconds and returns True to stop before the next batch. Where
    *producers* are named, a dead letter of any other counts as gone. A replay moves what may have
    been sent only where it *may_repeat*.
    """

    actor: str
    rate: float | None = None
    dry_run: bool = False
    progress: Callable[[MoveOutcome], None] = lambda _: None
    pause: Callable[[float], bool] = _sleep
    producers: Collection[str] | None = None
    may_repeat: bool = False

    def own(self, letter: DeadLetterView | None) -> DeadLetterView | None:
        """Return the dead letter, or None where it is another producer's."""
        if letter is None or self.producers is None or letter.producer in self.producers:
            return letter
        return None


@dataclass(frozen=True)
class ReplayAction:
    """Sends dead letters on their way again; what may have been sent only if it *may_repeat*."""

    index: DeadLetterIndex
    actor: str
    may_repeat: bool = False

    def refusal(self, row: DeadRow) -> str:
        """Return why it cannot be moved; empty where it can."""
        if row.may_have_been_sent and not self.may_repeat:
            return "it may have been sent: only with may-repeat"
        return row.why_no_replay

    def send(self, rows: Sequence[DeadRow]) -> list[str]:
        """Move dead letters of one shard; return a word for each: the answer of its script."""
        return self.index.replay(rows, self.actor)

    def is_mine(self, before: DeadRow, after: DeadRow) -> bool:
        """Return whether it is in the generation that this run wrote, replayed by this actor."""
        was, now = before.route, after.route
        if was is None or now is None or now.generation <= was.generation:
            return False
        return _did(now, "replayed", self.actor, before.entry.dead_at_ms)


@dataclass(frozen=True)
class PurgeAction:
    """Gives dead letters up."""

    index: DeadLetterIndex
    actor: str

    def refusal(self, row: DeadRow) -> str:
        """Return why it cannot be moved; empty where it can."""
        return row.why_no_purge

    def send(self, rows: Sequence[DeadRow]) -> list[str]:
        """Move dead letters of one shard; return a word for each: the answer of its script."""
        return self.index.purge(rows, self.actor)

    def is_mine(self, before: DeadRow, after: DeadRow) -> bool:
        """Return whether this actor purged it, or nothing is left that could say who did."""
        if after.route is None:
            return True
        purged = after.route.status is Status.PURGED
        return purged and _did(after.route, "purged", self.actor, before.entry.dead_at_ms)


@dataclass
class Mover:
    """Moves dead letters with one action and counts what became of them."""

    action: ReplayAction | PurgeAction
    run: Run
    outcome: MoveOutcome = field(default_factory=MoveOutcome)

    def move(self, letters: Iterable[DeadLetterView | None]) -> MoveOutcome:
        """Move them all; None stands for one that was asked for and is no dead letter.

        Raises `CallFailed` where nothing at all could be read; a fault later on stands in the
        outcome, because the counts up to it hold.
        """
        outcome, source = self.outcome, iter(letters)
        try:
            while batch := self._next(source):
                self._move(batch)
                self.run.progress(outcome)
        except RedisFault as error:
            if not outcome.matched:
                raise failed_call(error) from error
            outcome.fault = str(error)
        return outcome

    def _next(self, source: Iterator[DeadLetterView | None]) -> list[DeadLetterView | None]:
        """Return the next batch once the pace allows it; none when asked to stop."""
        size, rate = BATCH, self.run.rate
        if rate and not self.run.dry_run:
            size = max(1, min(BATCH, int(rate / _STEPS_PER_SECOND)))
        rest = size / rate if rate and self.outcome.moved else 0
        if not self.run.dry_run and self.run.pause(rest):
            self.outcome.stopped = True
            return []
        return list(islice(source, size))

    def _move(self, batch: Sequence[DeadLetterView | None]) -> None:
        self.outcome.matched += len(batch)
        rows = [letter.row for letter in batch if letter is not None]
        self.outcome.gone += len(batch) - len(rows)
        movable = [row for row in rows if not self._refused(row)]
        if self.run.dry_run:
            self.outcome.moved += len(movable)
            return
        by_shard = sorted(movable, key=lambda row: row.keys.shard)
        for _, group in groupby(by_shard, key=lambda row: row.keys.shard):
            self._move_shard([*group])

    def _refused(self, row: DeadRow) -> bool:
        reason = self.action.refusal(row)
        if reason:
            self.outcome.failed[reason] += 1
        return bool(reason)

    def _move_shard(self, rows: list[DeadRow]) -> None:
        answer_lost = False
        for _ in range(_TRIES):
            try:
                rows = self._try(rows, answer_lost=answer_lost)
            except RedisFault as error:
                if error.fault.code == UNCONFIRMED:
                    reason = f"done, but durability is not confirmed: {error.fault.text}"
                    self.outcome.failed[reason] += len(rows)
                    return
                answer_lost = True
                self.run.pause(_PAUSE_S)
                rows = self._still_dead(rows, answer_lost=answer_lost)
            if not rows:
                return
        reason = "redis did not answer" if answer_lost else "it kept changing"
        self.outcome.failed[reason] += len(rows)

    def _try(self, rows: list[DeadRow], *, answer_lost: bool) -> list[DeadRow]:
        """Move dead letters of one shard; return what changed meanwhile, read again."""
        words = self.action.send(rows)
        counts = Counter(words)
        self.outcome.moved += counts[Word.REPLAYED] + counts[Word.PURGED]
        if counts[Word.FAULT]:
            self.outcome.failed["redis could not write it"] += counts[Word.FAULT]
        left = [
            row for row, word in zip(rows, words, strict=True) if word in (Word.CHANGED, Word.GONE)
        ]
        return self._still_dead(left, answer_lost=answer_lost)

    def _still_dead(self, rows: list[DeadRow], *, answer_lost: bool) -> list[DeadRow]:
        """Read again what may have moved; count what has, return what has not.

        After a call whose answer was lost, a member that left the index counts as moved where its
        state is in the generation that this run wrote, by a line of this actor in its history. So
        the count is never higher than what was moved, unless the same person moved the same one
        elsewhere at the same time. One that died again since was moved too: it is left alone.
        """
        still: list[DeadRow] = []
        for before in rows:
            row = self.action.index.again(before)
            if row is not None and _is_same_death(before, row):
                still += [] if self._refused(row) else [row]
            elif answer_lost and self.action.is_mine(before, self.action.index.stored([before])[0]):
                self.outcome.moved += 1
            else:
                self.outcome.gone += 1
        return still


def _is_same_death(before: DeadRow, after: DeadRow) -> bool:
    generations = (row.route.generation if row.route else 0 for row in (before, after))
    return before.entry.dead_at_ms == after.entry.dead_at_ms and len({*generations}) == 1


def _did(route: Route, event: str, actor: str, since_ms: int) -> bool:
    return any(
        line.event == event and line.worker == actor and line.at_ms >= since_ms
        for line in route.history
    )
