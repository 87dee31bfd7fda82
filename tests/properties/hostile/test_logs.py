"""What a daemon logs while strangers are at work: one JSON object per line, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.properties.hostile.corpus import MEMBERS, RECORDS, STATES
from tests.properties.hostile.planting import KEYS, ROUTE, id_of, plant
from tests.properties.hostile.states import STATES as WHOLE
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.program import accept
from tests.support.servers import Server
from tests.support.wait import wait_until

SECRET = "s3cr3t"


def _assert_sober(daemon: DaemonProcess) -> None:
    raw = daemon.log.read_bytes()
    assert raw.isascii()
    for line in raw.decode().splitlines():
        assert line.isprintable()
        assert len(line) < 4096
        told = json.loads(line)
        assert "exception" not in told, told
        assert told["level"] in ("debug", "info", "warning"), told
    assert SECRET.encode() not in raw


def _published(server: Server, user: str) -> bool:
    with server.client() as client:
        entries = client.xrange(KEYS.stream)
        return any(fields.get(b"user_id") == user.encode() for _, fields in entries)


def test_daemon__works_among_all_of_it(server: Server) -> None:
    """Everything at once: the neighbour is published, and the log stays a log."""
    with server.client() as client, daemon_on(server, log__level="debug") as daemon:
        daemon.wait_for("daemon working")
        for number, case in enumerate([*RECORDS.values()], 100):
            plant(client, f"{id_of(number)}/{ROUTE}", record=case.raw)
        for number, case in enumerate([*STATES.values()], 1000):
            plant(client, f"{id_of(number)}/{ROUTE}", state=case.raw)
        client.zadd(KEYS.schedule("push"), dict.fromkeys(MEMBERS, 1.0))
        for put in WHOLE.values():
            put(client)
        accept(server, "neighbour")
        wait_until(lambda: _published(server, "neighbour"), "the neighbour is published")
        assert daemon.process.poll() is None
        _assert_sober(daemon)


def _urls(server: Server) -> Iterator[str]:
    yield f"redis://user:{SECRET}@127.0.0.1:1/0"
    yield f"redis://127.0.0.1:1/0?username=user&password={SECRET}"
    yield server.url.replace("unix://", f"unix://user:{SECRET}@")


@pytest.mark.parametrize("number", range(3))
def test_daemon__names_no_password(number: int, server: Server) -> None:
    """Neither a server that is away nor one that knows no such user has a password logged."""
    url = list(_urls(server))[number]
    variables = {"GALAXY_NOTIFY_REDIS__URL": url, "GALAXY_NOTIFY_REDIS__SENTINEL_PASSWORD": SECRET}
    with daemon_on(server, variables=variables, log__level="debug") as daemon:

        def told() -> bool:
            return len(daemon.lines()) > 1 or daemon.process.poll() is not None

        wait_until(told, "it says why")
        assert SECRET not in daemon.log.read_text()
