"""An older copy restored: what docs/backup.md says about it, on a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import ROOT, daemon, environment, program
from tests.support.servers import Server, running, the_bundled_server
from tests.support.wait import wait_until

STREAM = "{gn:0}:client-events"


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Give a server that the test may stop."""
    with running(the_bundled_server()) as started:
        yield started


def accept(server: Server, folder: Path, key: str) -> dict[str, Any]:
    """Accept an intent under this key, for a user of the same name, and return its receipt."""
    intent = {"type": "t", "producer": "p", "recipients": [key], "idempotency_key": key}
    file = folder / "intent.jsonl"
    file.write_text(json.dumps(intent))
    receipt: dict[str, Any] = json.loads(program(server, "accept", str(file)).stdout)
    return receipt


def published(server: Server, number: int) -> list[str]:
    """Run a daemon until so many events are in the stream, and return their ids."""
    with server.client() as client, daemon(server):
        wait_until(lambda: client.xlen(STREAM) == number, f"{number} are published")
        entries: Any = client.xrange(STREAM)
    return [fields[b"event_id"].decode() for _, fields in entries]


def delivered(server: Server, number: int) -> list[str]:
    """Run the example gateway until it was handed so many events, and return their users."""
    with subprocess.Popen(
        [sys.executable, "examples/gateway.py", "--url", server.url],
        cwd=ROOT,
        env=environment(server),
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stdout is not None
        users = [gateway.stdout.readline().partition(":")[0] for _ in range(number)]
        gateway.terminate()
        assert gateway.wait(20) == 0
    return users


def test_restore__repeats_what_was_published_and_forgets_what_was_accepted(
    own_server: Server, tmp_path: Path
) -> None:
    """After an older copy the same event ids come again, and a repeated key is accepted anew."""
    copy = tmp_path / "backup.rdb"
    accept(own_server, tmp_path, "before")
    published(own_server, 1)
    assert delivered(own_server, 1) == ["before"]
    waiting = accept(own_server, tmp_path, "waiting")
    with own_server.client() as client:
        client.save()
    shutil.copy(own_server.folder / "dump.rdb", copy)
    after = accept(own_server, tmp_path, "after")
    first = published(own_server, 3)
    assert delivered(own_server, 2) == ["waiting", "after"]

    own_server.stop()
    shutil.copy(copy, own_server.folder / "dump.rdb")
    own_server.start()

    assert program(own_server, "fsck").returncode == 0
    assert program(own_server, "show", after["notification_id"]).returncode == 3
    assert accept(own_server, tmp_path, "waiting")["status"] == "duplicate"
    assert accept(own_server, tmp_path, "after")["status"] == "accepted"
    assert published(own_server, 3) == first
    assert delivered(own_server, 2) == ["waiting", "after"]
    shown = json.loads(program(own_server, "show", waiting["notification_id"], "--json").stdout)
    assert [route["status"] for route in shown["routes"]] == ["published"]
    totals = json.loads(program(own_server, "status", "--json").stdout)["totals"]
    assert (totals["accepted"], totals["published"]) == (3, 3)
