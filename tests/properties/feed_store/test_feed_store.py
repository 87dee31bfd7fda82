"""Random changes of a feed, compared after each step with a plain model of its rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

from galaxy_notify.feed_store import statements
from tests.support.feed_machine import FeedMachine, run_machine
from tests.support.feed_store import FeedFixture, feed_on
from tests.support.lost_commits import losing_commits
from tests.support.postgres import Postgres
from tests.support.suite import examples

#: Of a statement, what it says and what it could say by mistake.
DEFECTS = [
    ("item_change.sql", "unseen = feed_user.unseen + by_user.unseen", "unseen = feed_user.unseen"),
    ("item_change.sql", "version = version + 1", "version = version"),
    ("item_change.sql", "feed_item.unread::int - picked.was_unread", "- 1"),
    ("item_delete.sql", "FILTER (WHERE unread)", ""),
    ("item_insert.sql", "count(*) AS items", "1 AS items"),
    ("page.sql", "< (timestamptz", "<> (timestamptz"),
    ("retracted_add.sql", "DO NOTHING", "DO UPDATE SET retracted_at = NULL"),
    ("user_delete.sql", "WHERE user_id = %(user)s", ""),
]


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give a store whose COMMITs may be lost."""
    with losing_commits(), feed_on(postgres) as made:
        yield made


def _run(feed: FeedFixture, number: int, **options: Any) -> None:
    class Machine(FeedMachine):
        pass

    Machine.feed = feed
    run_machine(Machine, number, **options)


def test_feed__random_changes(feed: FeedFixture) -> None:
    """Whatever happens, and whichever replies are lost, rows, counts and versions are right."""
    _run(feed, examples(15, 150))


@pytest.mark.extended
@pytest.mark.parametrize(("file", "good", "bad"), DEFECTS)
def test_feed__with_a_defect(
    feed: FeedFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    file: str,
    good: str,
    bad: str,
) -> None:
    """The same finds statements that are slightly wrong."""
    changed = tmp_path / "sql"
    shutil.copytree(statements.SQL_DIR, changed)
    text = (changed / file).read_text()
    assert good in text
    (changed / file).write_text(text.replace(good, bad))
    monkeypatch.setattr(statements, "SQL_DIR", changed)
    statements.statement.cache_clear()
    try:
        with pytest.raises(AssertionError):
            _run(feed, 100, derandomize=True, phases=(Phase.generate,), print_blob=False)
    finally:
        statements.statement.cache_clear()
