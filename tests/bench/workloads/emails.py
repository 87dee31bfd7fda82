"""E-mails: a backlog that one daemon sends, beside bare aiosmtplib.

The SMTP server is a process that takes everything at once, with STARTTLS. Sender, server and Redis
share the two cores. 1,000 users have one address each; the daemon reads and decrypts it for each
e-mail, fills in the default templates, sends over 8 connections (the default of per_host), and
records what became of it. Beside it, aiosmtplib sends messages of the same kind that were made
before, over as many connections. Each e-mail must come once.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.bench_run import BenchRun, patient, total
from tests.bench.checkout import HERE
from tests.bench.figures import Figures
from tests.bench.mails.filled import Mailed
from tests.bench.mails.sink import Sink, running_sink
from tests.bench.processes import daemons, running
from tests.bench.watch import Work, watch
from tests.support.servers import Server
from tests.support.tls import Authority

_TOGETHER = 8
_PATIENCE_S = 300
_TRUSTED = "SSL_CERT_FILE"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Send a backlog, and as many bare ones, in each run."""
    count = bench.size(10_000, 1500)
    with bench.server() as server, TemporaryDirectory(prefix="gn-") as folder:
        authority = Authority(Path(folder), "mail")
        # Of this process and of those that it starts.
        os.environ[_TRUSTED] = str(authority.cert)
        with running_sink(authority.issue("sink")) as sink:
            for _ in range(bench.runs):
                figures.add("bare aiosmtplib", _bare(sink, count), "e-mails/s")
                work = _drained(server, sink, count)
                figures.add("e-mails", work.rate, "e-mails/s")
                figures.add("e-mails: Redis", work.server_us, "µs/e-mail")
                figures.add("e-mails: daemon", work.worker_us, "µs/e-mail")
        del os.environ[_TRUSTED]


def _bare(sink: Sink, count: int) -> float:
    """Return the e-mails a second of aiosmtplib."""
    sink.forget()
    arguments = (str(count), str(_TOGETHER), str(sink.port))
    with running("tests.bench.mails.bare", *arguments, of=HERE) as process:
        process.wait(_PATIENCE_S)
        seconds = float(process.output())
    _check_each_once(sink, count)
    return count / seconds


def _drained(server: Server, sink: Sink, count: int) -> Work:
    """Let one daemon send a backlog."""
    server.flush()
    sink.forget()
    place = Mailed(server.tcp_url, sink)
    place.found()
    place.fill(count)
    with patient(server) as client, daemons(server.tcp_url, place.daemon) as workers:
        work = watch(client, workers, lambda: total(client, "delivered"), count)
    _check_each_once(sink, count)
    return work


def _check_each_once(sink: Sink, count: int) -> None:
    if (came := sink.counted()) != (count, count):
        raise RuntimeError(f"{came[0]} e-mails of {came[1]} ids instead of {count}")
