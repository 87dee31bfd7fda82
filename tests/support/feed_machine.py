"""A feed that is changed at random, and compared with a plain model of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.model.feed import Counts
from tests.support.feed_store import FeedFixture, new_item
from tests.support.lost_commits import LosingConnection

USERS = ("u1", "u2", "u3")
NAMES = tuple(f"n{number}" for number in range(4))

users = st.sampled_from(USERS)
some_users = st.lists(users, unique=True)
some_names = st.lists(st.sampled_from(NAMES), max_size=4)
lost = st.sampled_from([None, None, None, "before", "after"])


@dataclass(frozen=True)
class Row:
    """An item of a user, as the feed should have it."""

    name: str
    seen: bool = False
    read: bool = False
    archived: bool = False
    retracted: bool = False

    @property
    def counts(self) -> tuple[int, int]:
        """How much it adds to unread and unseen."""
        shown = not self.archived and not self.retracted
        return int(shown and not self.read), int(shown and not self.seen)


CHANGES: dict[str, dict[str, Any]] = {
    "mark_read": {"read": True, "seen": True},
    "mark_unread": {"read": False},
    "mark_seen": {"seen": True},
    "archive": {"archived": True},
}
ALL = {"mark_all_read": "mark_read", "mark_all_seen": "mark_seen", "archive_all": "archive"}
#: What a change of all leaves alone: archived items count no more, and are not looked for.
CONCERNS: dict[str, Callable[[Row], bool]] = {
    "mark_all_read": lambda row: row.counts[0] == 1,
    "mark_all_seen": lambda row: row.counts[1] == 1,
    "archive_all": lambda row: not row.archived,
}


class FeedMachine(RuleBasedStateMachine):
    """A feed of a few users, and the rows that they should have, oldest first."""

    feed: FeedFixture

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[Row]] = {user: [] for user in USERS}
        self.before = {user: (list[Row](), 0) for user in USERS}
        self.newest = dict.fromkeys(USERS, 0)
        self.epoch = self.feed.run(self.feed.store.epoch())
        self.feed.change("DELETE FROM feed_item")
        self.feed.change("DELETE FROM feed_user")

    def committed(self, counts: Mapping[str, Counts]) -> None:
        """Go on behind a COMMIT, with the counts that it gave."""

    def forgotten(self, user: str) -> None:
        """Go on behind the COMMIT that forgot a user."""

    def _done(self, call: Any, fate: str | None = None) -> Any:
        """Make a change, whose COMMIT may be lost; a caller repeats it until it knows."""
        LosingConnection.loses, done = fate, None
        with suppress(FeedUnavailable):
            done = self.feed.run(call())
        if LosingConnection.loses is None and fate is not None:
            done = self.feed.run(call())
        LosingConnection.loses = None
        return done

    def _change(self, user: str, names: set[str], **changes: Any) -> None:
        self.rows[user] = [
            replace(row, **changes) if row.name in names and not row.retracted else row
            for row in self.rows[user]
        ]

    @rule(pairs=st.lists(st.tuples(users, st.sampled_from(NAMES)), max_size=8), fate=lost)
    def publish(self, pairs: list[tuple[str, str]], fate: str | None) -> None:
        """Insert items: those that are new have a row at the end."""
        items = [new_item(user, name) for user, name in pairs]
        done = self._done(lambda: self.feed.store.insert(items), fate)
        for user, name in pairs:
            if name not in {row.name for row in self.rows[user]}:
                self.rows[user].append(Row(name))
        self.committed(done.counts)

    @rule(kind=st.sampled_from(sorted(CHANGES)), user=users, names=some_names, fate=lost)
    def mark(self, kind: str, user: str, names: list[str], fate: str | None) -> None:
        """Mark some items, known or not."""
        counts = self._done(lambda: getattr(self.feed.store, kind)(user, names), fate)
        self._change(user, set(names), **CHANGES[kind])
        self.committed({user: counts})

    @rule(kind=st.sampled_from(sorted(ALL)), user=users, until=st.sampled_from([None, *NAMES]))
    def mark_all(self, kind: str, user: str, until: str | None) -> None:
        """Mark all up to one, if the user has that one."""
        counts = self._done(lambda: getattr(self.feed.store, kind)(user, until))
        names = [row.name for row in self.rows[user]]
        if until is not None:
            names = names[: names.index(until) + 1] if until in names else []
        concerned = {row.name for row in self.rows[user] if CONCERNS[kind](row)}
        self._change(user, concerned & set(names), **CHANGES[ALL[kind]])
        self.committed({user: counts})

    @rule(name=st.sampled_from(NAMES), given=st.none() | some_users, fate=lost)
    def retract(self, name: str, given: list[str] | None, fate: str | None) -> None:
        """Retract for those that have it, or for some users, who may get it later."""
        done = self._done(lambda: self.feed.store.retract(name, given), fate)
        for user in USERS if given is None else given:
            self._change(user, {name}, retracted=True)
            if given is not None and name not in {row.name for row in self.rows[user]}:
                self.rows[user].append(Row(name, retracted=True))
        self.committed(done.counts)

    @rule(aged=some_users)
    def retention(self, aged: list[str]) -> None:
        """Delete what is too old: all that some users have by now."""
        age = "UPDATE feed_item SET at = at - interval '10 days' WHERE user_id = ANY(%s)"
        self.feed.change(age, [aged])
        deleted = self.feed.all(self.feed.store.delete_older_than(5))
        assert sum(one.rows for one in deleted) == sum(len(self.rows[user]) for user in aged)
        for user in aged:
            self.rows[user] = []
        for one in deleted:
            self.committed(one.counts)

    @rule(user=users)
    def forget(self, user: str) -> None:
        """Delete all of a user: it begins again, with versions above those before."""
        assert self.feed.run(self.feed.store.forget(user)) == len(self.rows[user])
        assert self.feed.counts(user)[:3] == (0, 0, 0)
        self.rows[user] = []
        self.before[user] = ([], 0)
        self.forgotten(user)

    @rule()
    def restored(self) -> None:
        """Begin another epoch."""
        self.epoch, before = self.feed.run(self.feed.store.restored()), self.epoch
        assert self.epoch > before

    @invariant()
    def rows_and_counts_agree(self) -> None:
        """Lists and counts are those of the model; versions grow with changes, and only then."""
        for user, rows in self.rows.items():
            shown = [row for row in reversed(rows) if not row.retracted]
            self._compare(user, [row for row in shown if not row.archived], archived=False)
            self._compare(user, [row for row in shown if row.archived], archived=True)
            self._compare_counts(user, rows)
        assert self.feed.all(self.feed.store.reconcile()) == []

    def _compare(self, user: str, rows: list[Row], *, archived: bool) -> None:
        page = self.feed.run(self.feed.store.list(user, ListQuery(archived=archived)))
        found = [
            Row(
                item.notification_id,
                item.seen_at_ms is not None,
                item.read_at_ms is not None,
                item.archived_at_ms is not None,
            )
            for item in page.items
        ]
        assert found == rows

    def _compare_counts(self, user: str, rows: list[Row]) -> None:
        counts = self.feed.counts(user)
        assert counts.unread == sum(row.counts[0] for row in rows)
        assert counts.unseen == sum(row.counts[1] for row in rows)
        assert counts.epoch == self.epoch
        was, version = self.before[user]
        if was == rows:
            # A row of zeros is made for a user of whom only retractions are known.
            assert version in (counts.version, 0)
        elif _shown(was) != _shown(rows):
            assert counts.version > max(version, self.newest[user])
        self.before[user] = (list(rows), counts.version)
        self.newest[user] = max(self.newest[user], counts.version)


def _shown(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.retracted]


def run_machine(machine: type[FeedMachine], number: int, steps: int = 25, **options: Any) -> None:
    """Run so many examples of a machine."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number, stateful_step_count=steps, deadline=None, database=None, **options
        ),
    )
