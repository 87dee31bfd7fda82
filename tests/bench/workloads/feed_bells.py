"""Bells of users at gateways with a feed of 5,000,000 rows, of which one user has 200,000.

*Accept to badge* is from when a notification was to be accepted until a client has read the counts
with it, at steady rates: one producer, one daemon, one process that writes the feed, and two
gateways with 1,000 clients of as many users; the first fifth is left out. *Over HTTP* is what one
client reads from one gateway, over one connection and about 40 times a second in all: of the large
user, and *of others*, with some 25 items each. *Nothing* is an answer without Postgres. All
processes share the two cores; all rows lie on a disk, and fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.bench_run import BenchRun, patient
from tests.bench.checkout import HERE
from tests.bench.feeds.draining import writer_settings
from tests.bench.feeds.full import BIG, SHARE, fill
from tests.bench.feeds.http_reader import read
from tests.bench.feeds.server import feed_server
from tests.bench.figures import Figures, percentile
from tests.bench.gateways.crowd import Crowd
from tests.bench.gateways.events import Numbers
from tests.bench.gateways.producer import ACCEPT, producing
from tests.bench.gateways.sides import Bells
from tests.bench.processes import daemons, running
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

_RATES = (200, 1000)
_USERS = 1000
_GATEWAYS = 2
_START_S = 60
_PRODUCER_S = 300
_OTHERS = [f"user-{number}" for number in range(1, 1000)]


def measure(bench: BenchRun, figures: Figures) -> None:
    """Fill a feed; read it at a gateway, and count what is accepted."""
    rows, reads = bench.size(5_000_000, 200_000), bench.size(500, 50)
    for _ in range(bench.runs):
        with bench.server() as server, feed_server() as postgres:
            fill(postgres, rows)
            _read(server, postgres, reads, figures)
            for rate in _RATES:
                _count(server, postgres, rate, rate * bench.size(20, 3), figures)
    figures.note(f"of {rows:,} rows the user has {rows // SHARE:,}")


def _read(server: Server, postgres: Postgres, reads: int, figures: Figures) -> None:
    with _side(postgres).nodes(server, 1) as (node,):
        for where, users in (("", [BIG]), (", of others", _OTHERS)):
            for name, times in read(node.port, users, reads).items():
                _add(figures, f"{name} over HTTP{where}", [one * 1000 for one in times])


def _count(server: Server, postgres: Postgres, rate: int, count: int, figures: Figures) -> None:
    warm = count // 5
    with _connected(server, postgres) as clients:
        for first, some in ((0, warm), (warm, count - warm)):
            numbers = Numbers(first, some, _USERS)
            with producing(server.tcp_url, ACCEPT, rate, numbers) as producer:
                producer.wait(_PRODUCER_S)
            answer = clients.expect(first, some)
        for label in ("p50", "p99"):
            figures.add(f"accept to badge, {rate:,}/s: {label}", answer[label], "ms")


@contextmanager
def _connected(server: Server, postgres: Postgres) -> Iterator[Crowd]:
    """Run all processes on an empty Redis; give the clients, which know what was unread before."""
    side = _side(postgres)
    with (
        side.nodes(server, _GATEWAYS) as nodes,
        patient(server) as client,
        daemons(server.tcp_url),
        running("galaxy_notify", "feed", of=HERE, **writer_settings(server, postgres)),
        side.crowd(nodes, _USERS) as clients,
    ):
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", _START_S)
        wait_until(lambda: client.zcard("{gn:0}:feed_writers"), "the writer works", _START_S)
        clients.connect(_USERS)
        yield clients


def _side(postgres: Postgres) -> Bells:
    return Bells(settings={"FEED__URL": postgres.url})


def _add(figures: Figures, name: str, times: list[float]) -> None:
    for share in (0.5, 0.99):
        figures.add(f"{name}: p{share * 100:g}", percentile(times, share), "ms")
