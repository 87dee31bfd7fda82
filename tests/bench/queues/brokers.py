"""The queues that are compared, each with the process that keeps its jobs.

bunqueue is a broker of its own: a server on Bun that keeps jobs in memory, which is its default,
or in a SQLite file if it is given a path (write-ahead log, ``synchronous = NORMAL``, writes
collected for up to 10 ms; not the job option ``durable``, which writes each at once). BullMQ and
galaxy-notify keep theirs in one Redis each, without a file or with an append-only file synced every
second. If the machine dies, Redis loses up to about a second of jobs, and SQLite what was not yet
synced.
"""

from __future__ import annotations

import json
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.bench.checkout import HERE, ROOT
from tests.bench.peers.bullmq import BULLMQ
from tests.bench.peers.bunqueue import BUNQUEUE
from tests.bench.peers.environments import Environment
from tests.bench.peers.measuring import Worker, running
from tests.bench.processes import daemons
from tests.support.founded import found_deployment
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

_START_S = 60
_SCRIPT = "queue_jobs"
#: Faster than its defaults (1 job at a time, fetched by 10), and than 100 or 300 of each.
_FAST = {"concurrency": 1000, "batchSize": 1000}
#: What its own benchmark sets where promptness is measured: workers wait for jobs at the server.
_PROMPT = {"concurrency": 100, "batchSize": 100, "pollTimeout": 5000}


class Broker(ABC):
    """A queue: the process that keeps its jobs, and the commands that add and do them."""

    name: str
    settings: str
    folder: Path

    @abstractmethod
    def fresh(self) -> AbstractContextManager[str]:
        """Run it without any job; the value is its URL."""

    @abstractmethod
    def command(self, verb: str) -> list[str]:
        """Return the command that adds jobs, or that does them."""

    def publisher(self, url: str) -> AbstractContextManager[object]:
        """Run what carries jobs to workers, where that is a process of its own."""
        del url
        return nullcontext()

    def environ(self, *, prompt: bool) -> Mapping[str, str]:
        """Return what its processes need beside what all need."""
        del prompt
        return {"BENCH_QUEUE": self.name}


class Ours(Broker):
    """galaxy-notify: accepted in Redis, published by one daemon, consumed from the stream."""

    name = "galaxy-notify"
    settings = "defaults; one daemon, and a consumer process for each worker of the others"
    folder = ROOT

    def __init__(self, server: Server, way: str = "run") -> None:
        """Keep jobs on a server; *way* is the method of the consumer."""
        self.server = server
        self._way = way

    @contextmanager
    def fresh(self) -> Iterator[str]:
        self.server.flush()
        found_deployment(self.server.tcp_url)
        yield self.server.tcp_url

    def command(self, verb: str) -> list[str]:
        return HERE.command("tests.bench.queues.jobs", self._way if verb == "work" else verb)

    def publisher(self, url: str) -> AbstractContextManager[object]:
        return daemons(url)


class _Installed(Broker):
    """A queue from npm."""

    def __init__(self, environment: Environment) -> None:
        environment.prepare()
        self._environment = environment
        self.folder = environment.folder

    def command(self, verb: str) -> list[str]:
        return self._environment.call(_SCRIPT, verb)


class BullMQ(_Installed):
    """BullMQ on Node, its jobs in Redis."""

    name = "BullMQ"
    settings = BULLMQ.settings

    def __init__(self, server: Server) -> None:
        """Keep jobs on a server."""
        super().__init__(BULLMQ.environment)
        self._server = server

    @contextmanager
    def fresh(self) -> Iterator[str]:
        self._server.flush()
        yield self._server.tcp_url


class Bunqueue(_Installed):
    """bunqueue on Bun, its jobs in the memory of its server or in a SQLite file."""

    name = "bunqueue"
    settings = f"worker {json.dumps(_FAST)}, where promptness is measured {json.dumps(_PROMPT)}"

    def __init__(self, *, durable: bool) -> None:
        """Keep jobs in memory, or in a file."""
        super().__init__(BUNQUEUE)
        self._durable = durable

    @contextmanager
    def fresh(self) -> Iterator[str]:
        tcp, http = str(free_port()), str(free_port())
        with tempfile.TemporaryDirectory(prefix="gn-queue-") as folder:
            options = ["--host", "127.0.0.1", "--tcp-port", tcp, "--http-port", http]
            if self._durable:
                options += ["--data-path", str(Path(folder) / "jobs.db")]
            command = self._environment.module(*BUNQUEUE.server, "start", *options)
            with running(command, self.folder, BUNQUEUE.environ) as server:
                wait_until(lambda: _listens(server, int(tcp)), "bunqueue listens", _START_S)
                yield f"tcp://127.0.0.1:{tcp}"

    def environ(self, *, prompt: bool) -> Mapping[str, str]:
        worker = json.dumps(_PROMPT if prompt else _FAST)
        return {**super().environ(prompt=prompt), "BENCH_WORKER": worker}


def _listens(server: Worker, port: int) -> bool:
    server.alive()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
