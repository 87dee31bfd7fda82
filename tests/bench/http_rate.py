"""Requests a second over many connections: to the API of a checkout, and to a hello-world."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.bench.bench_run import patient, total
from tests.bench.checkout import HERE, Checkout
from tests.bench.http_client import Posted, post
from tests.bench.processes import Running, running
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

CONNECTIONS = 64
_START_S = 60
_WARM = 200


class Measured(NamedTuple):
    """What was answered, and the processor time of the API for each request."""

    posted: Posted
    processor_us: float


class Api(NamedTuple):
    """A process that answers, and where."""

    process: Running
    url: str

    def post(self, requests: int, connections: int = CONNECTIONS) -> Measured:
        """Post so many after a few that warm it up; raise where one was not accepted at once."""
        post(self.url, _WARM, connections)
        before = self.process.cpu_s()
        posted = post(self.url, requests, connections)
        used = self.process.cpu_s() - before
        if posted.statuses != {201: requests}:
            raise RuntimeError(f"{posted.statuses} for {requests} requests")
        return Measured(posted, used / requests * 1e6)


@contextmanager
def hello(protocol: str) -> Iterator[Api]:
    """Run the hello-world on a protocol of uvicorn."""
    port = free_port()
    with running("tests.bench.hello", str(port), protocol) as process:
        wait_until(lambda: _listens(process, port), "the hello-world listens", _START_S)
        yield Api(process, f"http://127.0.0.1:{port}")


@contextmanager
def api(server: Server, checkout: Checkout = HERE) -> Iterator[Api]:
    """Run the API of a checkout."""
    settings = {"REDIS__URL": server.tcp_url, "HTTP__PORT": "0"}
    with running("galaxy_notify", "serve", of=checkout, **settings) as process:
        wait_until(lambda: bool(_urls(process)), "the API listens", _START_S)
        yield Api(process, _urls(process)[0])


def post_to_api(server: Server, requests: int, checkout: Checkout = HERE) -> Measured:
    """Post so many to the API, and compare their number with what Redis counted."""
    server.flush()
    with api(server, checkout) as found, patient(server) as client:
        measured = found.post(requests)
        if (counted := total(client, "accepted")) != requests + _WARM:
            raise RuntimeError(f"{counted} accepted instead of {requests + _WARM}")
    return measured


def _listens(process: Running, port: int) -> bool:
    process.alive()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _urls(process: Running) -> list[str]:
    process.alive()
    for line in process.output().splitlines():
        if '"http started"' in line:
            return [str(url) for url in json.loads(line)["urls"]]
    return []
