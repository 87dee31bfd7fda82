"""Writers, sweeps and gateways on one feed, and a Redis that fails them at random."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from galaxy_notify.model.feed import Counts
from tests.properties.feed.redis_side import CORRUPTIONS, WRITERS, AskedMark, RedisSide
from tests.support.feed_machine import USERS, FeedMachine, users

writers = st.sampled_from(WRITERS)


class MarksMachine(FeedMachine):
    """The feed of the base, the marks of its users, and which of them may be wrong.

    A mark that is lost stays so until its user's counts change, the user connects, or all users
    are looked at. Counts that come late then find nothing that is newer, and are written.
    """

    redis: RedisSide

    def __init__(self) -> None:
        super().__init__()
        self.redis.mend()
        self.redis.flush()
        self.sweepers = {name: self.redis.sweeper(name) for name in WRITERS}
        #: What the writer of the next change does behind its COMMIT.
        self.writer = "publishes"
        self.late: list[Mapping[str, Counts]] = []
        self.asked: list[AskedMark] = []
        self.stored: Mapping[str, Counts] = {}
        #: Users without a mark, and users whose mark may be an old one.
        self.lost: set[str] = set()
        self.outdated: set[str] = set()
        self.marks: Mapping[str, Counts | None] = dict.fromkeys(USERS)

    def rows_and_counts_agree(self) -> None:
        """Leave lists to the tests of the store; the counts are looked at when at rest."""

    @invariant()
    def marks_grow(self) -> None:
        """A mark is lost, or it is of the same or of newer counts than a step before."""
        before, self.marks = self.marks, {user: self.redis.mark(user) for user in USERS}
        for user, mark in self.marks.items():
            old = before[user]
            assert not mark or not old or _age(mark) >= _age(old), user

    @rule(what=st.sampled_from(["dies", "is slow"]))
    def next_writer(self, what: str) -> None:
        """Let the writer of the next change not publish its counts, or only later."""
        self.writer = what

    def committed(self, counts: Mapping[str, Counts]) -> None:
        """Publish counts, unless the writer dies or is slow."""
        writer, self.writer = self.writer, "publishes"
        self._look()
        if writer == "is slow":
            self.late.append(counts)
        elif writer == "publishes":
            self.redis.publish(counts)

    def forgotten(self, user: str) -> None:
        """Lose the mark too, unless the writer dies: no sweep knows of that user any more."""
        writer, self.writer = self.writer, "publishes"
        self._look()
        if writer == "publishes":
            self.redis.lose(user)
        else:
            self.outdated.add(user)
        self.lost.add(user)

    @rule()
    def restored(self) -> None:
        """Begin another epoch: no mark of another one is left behind the next sweep."""
        super().restored()
        self._look()
        self.outdated.clear()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def arrive(self, data: Any) -> None:
        """Let a slow writer publish, in whichever order."""
        self.arrive_one(data.draw(st.integers(0, len(self.late) - 1)))

    def arrive_one(self, place: int) -> None:
        """Publish one of the counts that are late."""
        counts = self.late.pop(place)
        self._note_late(counts)
        self.redis.publish(counts)

    @precondition(lambda self: len(self.asked) < 2)
    @rule(user=users)
    def ask(self, user: str) -> None:
        """Let a gateway that misses a mark read the counts."""
        if self.redis.mark(user) is None:
            self.asked.append(self.redis.ask(user))

    @precondition(lambda self: self.asked)
    @rule()
    def answer(self) -> None:
        """Let it write the mark: of what is then in Postgres, whatever happened in between."""
        asked = self.asked.pop(0)
        self._note_late([asked.user])
        self.feed.run(asked.end())
        if self.redis.is_well and asked.user in self.stored:
            assert self.redis.mark(asked.user) == self.stored[asked.user]
            self.lost.discard(asked.user)
            self.outdated.discard(asked.user)

    @rule(user=users, how=st.sampled_from(["gone", *sorted(CORRUPTIONS)]))
    def lose(self, user: str, how: str) -> None:
        """Lose a mark, or have something else in its place."""
        if how == "gone":
            self.redis.lose(user)
        else:
            self.redis.corrupt(user, how)
        self.lost.add(user)

    @rule()
    def flush(self) -> None:
        """Lose everything, also how far the sweep has come: all users are looked at."""
        self.redis.flush()
        self.lost.clear()
        self.outdated.clear()

    @rule(trips=st.integers(0, 6), hears=st.booleans())
    def go_away(self, trips: int, hears: bool) -> None:
        """Let Redis answer a few more times, and then not at all."""
        self.redis.break_after(trips, hears=hears)

    @rule()
    def refuse(self) -> None:
        """Let Redis take no more writes."""
        self.redis.refuse()

    @rule()
    def come_back(self) -> None:
        """Let Redis be well again."""
        self.redis.mend()

    @rule(name=writers, is_short=st.booleans())
    def sweep(self, name: str, is_short: bool) -> None:
        """Make a turn of a writer's sweep; a short one ends behind the first page."""
        self.redis.sweep(self.sweepers[name], 0 if is_short else inf)

    @rule()
    def rest(self) -> None:
        """Sweep once Redis is back: marks are right; once all users were looked at, all are."""
        self.redis.mend()
        while self.asked:
            self.answer()
        self._sweep()
        self._compare_marks(self.lost, self.outdated)
        self.redis.let_a_day_pass()
        self._sweep()
        self.lost -= self.stored.keys()
        self.outdated -= self.stored.keys()
        self._compare_marks(self.lost, self.outdated)

    def teardown(self) -> None:
        """End at rest."""
        self.rest()

    def _sweep(self) -> None:
        for sweeper in self.sweepers.values():
            self.redis.sweep(sweeper)

    def _compare_marks(self, lost: set[str], outdated: set[str]) -> None:
        for user in USERS:
            mark, counts = self.redis.mark(user), self.feed.counts(user)
            rows = self.rows[user]
            assert counts.unread == sum(row.counts[0] for row in rows)
            assert counts.unseen == sum(row.counts[1] for row in rows)
            may_lack = user in lost or user not in self.stored
            assert mark == counts or user in outdated or (mark is None and may_lack), user

    def _note_late(self, some: Any) -> None:
        """Note which marks may be written though they are old: there are no newer ones."""
        self.outdated |= {
            user for user in some if user not in self.stored or self.redis.mark(user) is None
        }

    def _look(self) -> None:
        """See which users changed: their marks are written by the next sweep, whatever they are."""
        found = self.feed.run(self.feed.store.all_counts("", 100))
        before, self.stored = self.stored, {one.user: one.counts for one in found}
        for user, counts in self.stored.items():
            if user not in before or before[user][:3] != counts[:3]:
                self.lost.discard(user)
                self.outdated.discard(user)


def _age(counts: Counts) -> tuple[int, int]:
    return counts.epoch, counts.version
