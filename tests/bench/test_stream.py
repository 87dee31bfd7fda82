"""Whether a run published each route once, as the workloads check it."""

from __future__ import annotations

import pytest
import redis

from tests.bench.bench_run import STREAM
from tests.bench.stream import check_each_once, newest, read
from tests.support.servers import Server


def _append(client: redis.Redis, *members: str) -> None:
    for member in members:
        client.xadd(STREAM, {"event_id": member})


def test_each_once__counts_behind_what_was_there(server: Server) -> None:
    """A missing event and one that comes twice are both found; earlier ones do not count."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        _append(client, "a/push:u1", "a/push:u1")
        before = newest(client)
        _append(client, "b/push:u1", "b/bulk:u1")
        check_each_once(client, 2, before)
        assert [entry.channel for entry in read(client, before)] == ["push", "bulk"]
        for routes in (1, 3, 4):
            with pytest.raises(RuntimeError):
                check_each_once(client, routes, before)
        with pytest.raises(RuntimeError, match="4 events of 3 routes"):
            check_each_once(client, 4)
