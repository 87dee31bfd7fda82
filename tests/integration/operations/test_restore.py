"""An older copy restored: what docs/backup.md says about it, on a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import accept, daemon, delivered, program, status
from tests.support.servers import Server, main_server, running
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

STREAM = "{gn:0}:client-events"


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Give a server that the test may stop."""
    with running(main_server()) as started:
        yield started


def published(server: Server, number: int) -> list[str]:
    """Run a daemon until so many events are in the stream, and return their ids."""
    with server.client() as client, daemon(server):
        wait_until(lambda: client.xlen(STREAM) == number, f"{number} are published")
        entries: Any = client.xrange(STREAM)
    return [fields[b"event_id"].decode() for _, fields in entries]


def users(lines: list[str]) -> list[str]:
    """Return whom the gateway delivered to."""
    return [line.partition(":")[0] for line in lines]


def test_restore__repeats_what_was_published_and_forgets_what_was_accepted(
    own_server: Server, tmp_path: Path
) -> None:
    """After an older copy the same event ids come again, and a repeated key is accepted anew."""
    copy = tmp_path / "backup.rdb"
    accept(own_server, "before", idempotency_key="before")
    published(own_server, 1)
    assert users(delivered(own_server, 1)) == ["before"]
    waiting = accept(own_server, "waiting", idempotency_key="waiting")
    with own_server.client() as client:
        client.save()
    shutil.copy(own_server.folder / "dump.rdb", copy)
    after = accept(own_server, "after", idempotency_key="after")
    first = published(own_server, 3)
    assert users(delivered(own_server, 2)) == ["waiting", "after"]

    own_server.stop()
    shutil.copy(copy, own_server.folder / "dump.rdb")
    own_server.start()

    assert program(own_server, "fsck").returncode == 0
    assert program(own_server, "show", after["notification_id"]).returncode == 3
    assert accept(own_server, "waiting", idempotency_key="waiting")["status"] == "duplicate"
    assert accept(own_server, "after", idempotency_key="after")["status"] == "accepted"
    assert published(own_server, 3) == first
    assert users(delivered(own_server, 2)) == ["waiting", "after"]
    shown = json.loads(program(own_server, "show", waiting["notification_id"], "--json").stdout)
    assert [route["status"] for route in shown["routes"]] == ["published"]
    totals = status(own_server)["totals"]
    assert (totals["accepted"], totals["published"]) == (3, 3)
