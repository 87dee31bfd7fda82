"""A replica of a Redis of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.support.delivery_run import DURABLE
from tests.support.servers import Server, running
from tests.support.wait import wait_until


@contextmanager
def replica_of(server: Server) -> Iterator[Server]:
    """Run a replica that has all that its primary has."""
    replicating = {"replicaof": f"127.0.0.1 {server.port}", "repl_diskless_sync_delay": "0"}
    with running(server.binary, tcp=True, **DURABLE | replicating) as made:
        wait_until(lambda: has_all(server, made), "the replica has all")
        yield made


def has_all(primary: Server, replica: Server) -> bool:
    """Return whether a replica has all that was written to its primary."""
    with primary.client(decode=True) as one, replica.client(decode=True) as other:
        written: Any = one.info("replication")["master_repl_offset"]
        state: Any = other.info("replication")
        return bool(state["master_link_status"] == "up" and written == state["slave_repl_offset"])
