"""What doctor says of the Postgres of a feed, from plain values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.feed_store.report import PostgresReport, Table
from galaxy_notify.operations.feed_checks import channel_findings, judge_postgres, postgres_findings
from galaxy_notify.operations.finding import Finding
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import Settings, settings_from

NOW = 1_900_000_000_000
ITEMS = Table("feed_item", 5_000_000, 100, 8 << 30, NOW - 60_000)
USERS = Table("feed_user", 9, 0, 8192, None)
GOOD = PostgresReport("u at h:5432/d", 180001, "u", False, True, "none", (), (), (), (ITEMS, USERS))
FEED: dict[str, Any] = {"url": "postgresql://u@h/d"}


def _told(report: PostgresReport) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in judge_postgres(report, NOW)]


def test_judge__a_good_one_in_one_line() -> None:
    """The version, the size, and where it is."""
    assert _told(GOOD) == [
        ("ok", "PostgreSQL 18, about 5,000,000 notifications, 8.6 GB (u at h:5432/d)")
    ]


@pytest.mark.parametrize(
    ("live", "dead", "is_named"),
    [(0, 99_999, False), (0, 100_000, True), (160_000, 100_000, False), (140_000, 100_000, True)],
)
def test_judge__bloat_is_a_share_of_many(live: int, dead: int, is_named: bool) -> None:
    """A few dead rows are usual; so is a small share."""
    report = GOOD._replace(tables=(ITEMS._replace(live=live, dead=dead), USERS))
    told = _told(report)
    assert (told[0][0] == "warning") is is_named
    if is_named:
        assert told[0][1].endswith(f"dead rows beside {live:,}, last vacuumed 1 min ago")


@pytest.mark.parametrize(
    ("change", "level", "text"),
    [
        ({"missing": ("0001_feed",)}, "error", "lacks 0001_feed"),
        ({"is_read_only": True}, "error", "refuses writes"),
        ({"denied": ("INSERT on feed_item",)}, "error", "the user u lacks INSERT on feed_item"),
        ({"unenforced": ("statement_timeout",)}, "warning", "has no statement_timeout"),
        ({"vacuums_itself": False}, "warning", "autovacuum is off"),
        ({"pooling": "transaction"}, "ok", "pool_mode = transaction"),
        ({"pooling": "session"}, "ok", "keep a connection of its own"),
    ],
)
def test_judge__names_each_problem(change: dict[str, Any], level: str, text: str) -> None:
    """The first line is about it."""
    first = _told(GOOD._replace(**change))[0]
    assert first[0] == level
    assert text in first[1]


def test_findings__without_the_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install; without a feed nothing is asked."""
    for name in [name for name in sys.modules if name.startswith("galaxy_notify.feed_store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert list(postgres_findings(Settings())) == []
    (found,) = postgres_findings(settings_from({"feed": FEED}))
    assert found.level == "error"
    assert found.what.endswith("pip install 'galaxy-notify[feed]'")


def test_findings__of_an_embedded_postgres_that_does_not_run(tmp_path: Path) -> None:
    """It is named with the command that starts it."""
    sections = {"feed": {"url": "embedded"}, "redis": {"state_dir": str(tmp_path / "state")}}
    (found,) = postgres_findings(settings_from(sections))
    assert found.level == "error"
    assert "no embedded Postgres runs" in found.what


def test_findings__of_an_embedded_postgres_that_cannot_start(tmp_path: Path) -> None:
    """What its start would refuse is worth more than that it does not run."""
    sections = {"feed": {"url": "embedded"}, "redis": {"state_dir": str(tmp_path / "state")}}
    data = tmp_path / "state-postgres" / "data"
    data.mkdir(parents=True)
    data.parent.chmod(0o700)
    (data / "PG_VERSION").write_text("99\n")
    (found,) = postgres_findings(settings_from(sections))
    assert "was written by postgres 99" in found.what


def _channels(feed: dict[str, Any], **shared: Any) -> list[Finding]:
    return list(channel_findings(settings_from({"feed": feed}), SharedSettings(**shared)))


def test_channels__that_fit_are_no_news() -> None:
    """Without a feed nothing is said of in_app; with one, where its events come from."""
    assert _channels({}) == []
    both = ("push", "in_app")
    assert _channels(FEED, channels=both, default_channels=both) == []
    (told,) = _channels(FEED, channels=both)
    assert told.level == "ok"
    (nothing,) = _channels({}, default_channels=("fax",))
    assert (nothing.level, nothing.means) == ("warning", "intents without channels are refused")


@pytest.mark.parametrize(
    ("feed", "deployed", "expected"),
    [
        (FEED, ("push", "in_app", "later"), []),
        (FEED, ("push", "later"), ["later"]),
        ({**FEED, "channels": ["push"]}, ("push", "in_app", "later"), ["later"]),
        ({}, ("push", "later"), []),
    ],
)
def test_channels__that_ask_for_what_is_never_read(
    feed: dict[str, Any], deployed: tuple[str, ...], expected: list[str]
) -> None:
    """Without `in_app` in the feed nothing is read; without a feed the start itself refuses."""
    later = {"kind": "log", "unless_read": True}
    sections = {
        "feed": feed,
        "worker": {"channels": ["push", "later"]},
        "channels": {"later": later},
    }
    settings = settings_from(sections)
    found = list(channel_findings(settings, SharedSettings(channels=deployed)))
    named = [one.what for one in found if "unless_read" in one.what]
    assert [what.split(":")[0] for what in named] == [
        f"unless_read of channels.{name}" for name in expected
    ]
