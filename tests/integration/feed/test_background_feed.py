"""The background queue in front of a feed: no caller waits, and each item is published once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify import BackgroundNotifier, BackgroundOptions, ConfigurationError
from galaxy_notify.feed import Feed, InvalidPublication
from tests.support.background import NOWHERE, background, drained, enqueue, events, is_exact
from tests.support.direct_feeds import PLAIN, feed_in, items
from tests.support.events import write_deployment
from tests.support.postgres import Postgres, running_postgres
from tests.support.program import ROOT
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import wait_until


@contextmanager
def queue(feed: Feed, **options: Any) -> Iterator[BackgroundNotifier]:
    """Run a queue in front of a feed; what it still has at the end is not waited for."""
    notifier = BackgroundNotifier(target=feed, options=BackgroundOptions(**options))
    try:
        yield notifier
    finally:
        notifier.close(0)


def put(notifier: BackgroundNotifier, count: int, **fields: Any) -> list[str | None]:
    """Enqueue publications for one user, each with its number."""
    return [
        notifier.enqueue({"user": "u1", **PLAIN, "title": str(number), **fields})
        for number in range(count)
    ]


def test_enqueue__publishes_in_order(postgres: Postgres, server: Server) -> None:
    """F-30, F-32: each item is in the feed once, in order, under the id that its caller got."""
    with feed_in(postgres, server.url) as feed, queue(feed) as notifier:
        ids = put(notifier, 300)
        drained(notifier)
        stats = notifier.stats()
        assert (stats.accepted, stats.duplicates) == (300, 0)
        found = items(feed, "u1", limit=200)
        assert [item.title for item in reversed(found)] == [str(n) for n in range(300)]
        assert [item.notification_id for item in reversed(found)] == ids


def test_enqueue__refuses_what_is_invalid_where_the_mistake_is(
    postgres: Postgres, server: Server
) -> None:
    """An invalid publication raises in `enqueue`, and so does one that is too large."""
    with feed_in(postgres, server.url) as feed, queue(feed) as notifier:
        with pytest.raises(InvalidPublication, match="user: is required"):
            notifier.enqueue(PLAIN)
        with pytest.raises(InvalidPublication, match="body: the content has"):
            notifier.enqueue({"user": "u1", **PLAIN, "body": "x" * 300_000})
        assert notifier.stats().enqueued == 0


def test_refusal__of_postgres_is_counted_alone(postgres: Postgres, server: Server) -> None:
    """F-34: what Postgres refuses is counted and passed on; its neighbours are published."""
    refused: list[tuple[str, str]] = []

    def note(fields: Any, receipt: Any) -> None:
        refused.append((fields["title"], receipt.error.code))

    with feed_in(postgres, server.url) as feed, queue(feed, on_refused=note) as notifier:
        with postgres.client() as client:
            client.execute("ALTER TABLE feed_item ADD CHECK (title <> '7')")
        put(notifier, 20)
        drained(notifier)
        assert notifier.stats().refused == {"invalid": 1}
        assert feed.counts("u1").unread == 19
    assert refused == [("7", "invalid")]


def test_full_queue__drops_the_newest_and_counts_it(server: Server, lines: Lines) -> None:
    """F-31, F-33: during an outage it drops, counts and closes in time; the rest it names."""
    with running_postgres() as postgres, feed_in(postgres, server.url) as feed:
        postgres.kill()
        with queue(feed, capacity=10, batch=5) as notifier:
            ids = put(notifier, 100)
            stats = notifier.stats()
            assert is_exact(stats)
            assert stats.dropped == {"queue_full": ids.count(None)}
            wait_until(lambda: "postgres unavailable" in events(lines), "the outage is noticed")
            closed = notifier.close(0)
        kept = [one for one in ids if one is not None]
        assert [*closed.unknown, *closed.remaining] == kept


def test_outage__loses_nothing_that_was_queued(server: Server, lines: Lines) -> None:
    """What waits is published when Postgres is back, each once, whatever reply was lost."""
    with running_postgres() as postgres, feed_in(postgres, server.url) as feed:
        with queue(feed) as notifier:
            put(notifier, 50)
            postgres.kill()
            put(notifier, 50)
            wait_until(lambda: "postgres unavailable" in events(lines), "the outage is noticed")
            postgres.start()
            drained(notifier)
            assert notifier.stats().accepted == 100
        assert feed.counts("u1").unread == 100
    assert events(lines).count("postgres available again") == 1


def test_close__ends_while_postgres_hangs(server: Server) -> None:
    """FT-05: at the deadline it names what is left, also what is being sent just then."""
    with (
        running_postgres() as postgres,
        feed_in(postgres, server.url, statement_timeout_ms=3000) as feed,
    ):
        feed.publish("u1", **PLAIN)
        postgres.pause()
        with queue(feed, batch=5) as notifier:
            ids = put(notifier, 20)
            wait_until(lambda: notifier.stats().in_flight, "some are being sent")
            closed = notifier.close(0)
        assert sorted([*closed.unknown, *closed.remaining]) == sorted(filter(None, ids))
        assert closed.unknown
        postgres.resume()


def test_spill__waits_for_the_next_process(server: Server, tmp_path: Path) -> None:
    """What could not be published is in the file, and the next queue publishes it, once."""
    path = tmp_path / "feed.spill"
    spill = {"on_full": "spill", "spill_path": path, "capacity": 100}
    with running_postgres() as postgres, feed_in(postgres, server.url) as feed:
        postgres.kill()
        with queue(feed, **spill) as notifier:
            put(notifier, 90)
            assert notifier.close(0).spilled == 90
        postgres.start()
        with queue(feed, **spill) as notifier:
            put(notifier, 1, title="last")
            drained(notifier)
        titles = sorted(item.title for item in items(feed, "u1"))
        assert titles == sorted([*(str(n) for n in range(90)), "last"])


def test_spill__of_another_target_is_refused(
    postgres: Postgres, server: Server, tmp_path: Path
) -> None:
    """A file with intents is not read as publications, nor the other way round; it is kept."""
    intents, publications = tmp_path / "intents", tmp_path / "publications"
    with background(NOWHERE, on_full="spill", spill_path=intents) as notifier:
        enqueue(notifier, "u1")
    options = BackgroundOptions(on_full="spill", spill_path=intents)
    refusal = pytest.raises(ConfigurationError, match=f"{intents}: holds items for another target")
    with feed_in(postgres, server.url) as feed, refusal:
        BackgroundNotifier(target=feed, options=options)
    with feed_in(postgres, server.url) as closed:
        closed.close()
        with queue(closed, on_full="spill", spill_path=publications) as notifier:
            put(notifier, 1)
    with pytest.raises(ConfigurationError, match="holds items for another target"):
        BackgroundNotifier.from_url(NOWHERE, options=replace(options, spill_path=publications))
    with background(NOWHERE, on_full="spill", spill_path=intents) as notifier:
        assert notifier.stats().found == 1


def test_target__or_settings() -> None:
    """A queue is sent to one place."""
    with pytest.raises(TypeError, match="either settings or a target"):
        BackgroundNotifier()


@pytest.mark.parametrize("sent_before", [0, 1])
def test_end_of_process__sends_what_was_queued(
    feed_database: Postgres, server: Server, sent_before: int
) -> None:
    """A program that closes neither queue nor feed still sends, then ends without a word.

    Also where the queue has used the feed before: the feed ends behind it.
    """
    program = f"""
import time
from galaxy_notify import BackgroundNotifier, BackgroundOptions
from galaxy_notify.feed import Feed
feed = Feed.from_url({feed_database.url!r}, redis={server.url!r})
queue = BackgroundNotifier(target=feed, options=BackgroundOptions(exit_within_s=60))
for number in range(100):
    queue.enqueue({{"user": "u1", "type": "t", "producer": "p"}})
    while queue.stats().accepted < min(number + 1, {sent_before}):
        time.sleep(0.01)
"""
    with server.client() as client:
        write_deployment(client)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Feed.from_url(feed_database.url, redis=server.url) as feed:
        assert feed.counts("u1").unread == 100
