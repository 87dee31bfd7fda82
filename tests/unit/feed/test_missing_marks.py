"""A mark that is made again must not be older than one that was lost while it was made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.missing_marks import MissingMarks
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts
from tests.support.wait import until

OLD, NEW = Counts(1, 1, 1, 1), Counts(2, 2, 2, 1)


class _Store:
    """A Postgres that gives these answers, one after another, and then the last one."""

    def __init__(self, *answers: Counts | FeedUnavailable) -> None:
        self.answers = list(answers)
        self.asked: list[Sequence[str]] = []
        self.is_closed = False

    async def ready(self) -> None:
        return None

    async def counts_of(self, users: Sequence[str]) -> Mapping[str, Counts]:
        self.asked.append(users)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, FeedUnavailable):
            raise answer
        return dict.fromkeys(users, answer)

    async def close(self) -> None:
        self.is_closed = True


class _Marks:
    """A Redis that takes all marks."""

    def __init__(self) -> None:
        self.published: list[Mapping[str, Counts]] = []

    async def publish(self, counts: Mapping[str, Counts]) -> Any:
        self.published.append(counts)


def _made(store: _Store, *users: str, until_published: int) -> tuple[_Marks, list[Any]]:
    """Have the marks of users made; return what was published, and what was found."""
    marks, found = _Marks(), []

    async def body() -> None:
        missing = MissingMarks(cast(FeedStore, store))
        running = asyncio.create_task(
            missing.run(cast(Marks, marks), lambda user, counts: found.append((user, counts)))
        )
        for user in users:
            missing.ask(user)
        await until(lambda: len(marks.published) >= until_published, "it is published")
        missing.stop()
        await running

    asyncio.run(body())
    return marks, found


def test_make__reads_once_more_behind_the_write() -> None:
    """What changed while the mark was missing may have been written and lost: it comes last."""
    store = _Store(OLD, NEW)
    marks, found = _made(store, "u1", "u2", until_published=2)
    assert marks.published == [{"u1": OLD, "u2": OLD}, {"u1": NEW, "u2": NEW}]
    assert found == [("u1", OLD), ("u2", OLD)]
    assert store.is_closed


def test_make__of_what_did_not_change_writes_once() -> None:
    """Nothing is published for nothing."""
    marks, _ = _made(_Store(OLD), "u1", "u1", until_published=2)
    assert marks.published == [{"u1": OLD}, {}]


def test_make__waits_while_postgres_is_away() -> None:
    """Who asked is not forgotten."""
    store = _Store(FeedUnavailable("away", code="connection"), OLD)
    marks, _ = _made(store, "u1", until_published=1)
    assert marks.published[0] == {"u1": OLD}


def test_make__asks_for_many_at_a_time() -> None:
    """After Redis has lost everything, all users who are connected ask at once."""
    users = [f"u{number}" for number in range(600)]
    store = _Store(OLD)
    _, found = _made(store, *users, until_published=6)
    assert [user for user, _ in found] == users
    assert max(map(len, store.asked)) <= 250
