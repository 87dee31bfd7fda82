"""Where a workload runs: how much it does, on which server, against which deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from galaxy_notify.embedded.binaries import ServerBinary
from galaxy_notify.redis_state.deployment import Deployment, connect
from galaxy_notify.settings import settings_from
from tests.bench.checkout import HERE, Checkout
from tests.support.founded import found_deployment
from tests.support.servers import Server, running

STREAM = "{gn:0}:client-events"
SCHEDULE = "{gn:0}:schedule:push"


def before(name: str) -> str:
    """Return the name of the same figure of the commit before."""
    return f"{name}, the commit before"


@dataclass(frozen=True)
class BenchRun:
    """What all workloads of a run share."""

    binary: ServerBinary
    quick: bool
    runs: int
    #: Another commit, which is measured in turns with this one; None where there is none.
    base: Checkout | None = None

    def size(self, full: int, quick: int) -> int:
        """Return how much to do."""
        return quick if self.quick else full

    def versions(self, name: str) -> Iterator[tuple[str, Checkout]]:
        """Return what to measure in turns under a name: this checkout, and the commit before."""
        yield name, HERE
        if self.base:
            yield before(name), self.base

    def server(self, **options: str) -> AbstractContextManager[Server]:
        """Run a server of the workload's own; everybody reaches it over TCP, as usual."""
        fixed = {"auto_aof_rewrite_percentage": "0", "appendfsync": "everysec"}
        return running(self.binary, tcp=True, **fixed | options)


@contextmanager
def patient(server: Server) -> Iterator[redis.Redis]:
    """Open a client of the watcher's own, which a busy server does not frighten."""
    with redis.Redis(unix_socket_path=str(server.socket), socket_timeout=300) as client:
        yield client


@contextmanager
def deployment(url: str, **sections: Mapping[str, Any]) -> Iterator[Deployment]:
    """Found a deployment with the settings of these sections, or join it."""
    settings = settings_from({"redis": {"url": url}} | sections)
    deployment = connect(settings, join=True)
    try:
        yield deployment
    finally:
        deployment.close()


def ensure_deployment(url: str) -> None:
    """Found a deployment of one shard where there is none: a client with a URL does not."""
    with redis.Redis.from_url(url) as client:
        if not client.exists("{gn:0}:meta"):
            found_deployment(url)


def entries(client: redis.Redis, shards: int = 1) -> int:
    """Count the events of a deployment."""
    pipeline = client.pipeline(transaction=False)
    for shard in range(shards):
        pipeline.xlen(f"{{gn:{shard}}}:client-events")
    return int(sum(pipeline.execute()))


def total(client: redis.Redis, *fields: str) -> int:
    """Return what a deployment of one shard has counted."""
    counts: Any = client.hmget("{gn:0}:totals", list(fields))
    return sum(int(value or 0) for value in counts)
