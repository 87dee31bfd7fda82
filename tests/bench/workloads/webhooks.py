"""Webhooks: a backlog that one daemon sends, beside bare aiohttp, and the way of one.

The receiver is a process that answers 200 at once, on sixteen addresses of this machine, over HTTP
without TLS. Sender, receiver and Redis share the two cores. 1,000 users have one endpoint each; the
daemon reads and decrypts it for each webhook, signs, sends, and records what became of it. The
settings of the channel are the default ones: 32 sends at a time, 8 to a host. Beside it, aiohttp
posts bodies that were signed before over as many connections. Each webhook must come once. For the
way of one, an otherwise idle daemon gets one after the other; the time is from before the accept
until the receiver has the request.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun, patient, total
from tests.bench.checkout import HERE
from tests.bench.figures import Figures, percentile
from tests.bench.hooks.filled import HOSTS, Deployed
from tests.bench.processes import daemons, running
from tests.bench.watch import Work, watch
from tests.support.receiver_process import Receiver, running_receiver
from tests.support.servers import Server
from tests.support.wait import wait_until

_TOGETHER = 32
_PATIENCE_S = 300
_START_S = 30
_PAUSE_S = 0.05


def measure(bench: BenchRun, figures: Figures) -> None:
    """Send a backlog, post as many, and send one after the other, in each run."""
    count, single = bench.size(20_000, 3000), bench.size(500, 60)
    with bench.server() as server, running_receiver(HOSTS) as receiver:
        for _ in range(bench.runs):
            figures.add("bare aiohttp", _bare(receiver, count), "deliveries/s")
            work = _drained(server, receiver, count)
            figures.add("webhooks", work.rate, "deliveries/s")
            figures.add("webhooks: Redis", work.server_us, "µs/delivery")
            figures.add("webhooks: daemon", work.worker_us, "µs/delivery")
            took = _one_by_one(server, receiver, single)
            for label, share in (("p50", 0.5), ("p99", 0.99)):
                figures.add(f"accept to received: {label}", percentile(took, share), "ms")


def _bare(receiver: Receiver, count: int) -> float:
    """Return the requests a second of aiohttp."""
    receiver.forget()
    urls = [receiver.url("/hook", host) for host in HOSTS]
    arguments = (str(count), str(_TOGETHER), *urls)
    with running("tests.bench.hooks.bare", *arguments, of=HERE) as process:
        process.wait(_PATIENCE_S)
        seconds = float(process.output())
    if (came := receiver.count()) != count + len(urls):
        raise RuntimeError(f"{came} requests came instead of {count + len(urls)}")
    return count / seconds


def _drained(server: Server, receiver: Receiver, count: int) -> Work:
    """Let one daemon send a backlog."""
    place = _founded(server, receiver)
    place.fill(count)
    with patient(server) as client, daemons(server.tcp_url, place.daemon) as workers:
        work = watch(client, workers, lambda: total(client, "delivered"), count)
    _check_each_once(receiver, count)
    return work


def _one_by_one(server: Server, receiver: Receiver, count: int) -> list[float]:
    """Return how long each took, in ms."""
    place = _founded(server, receiver)
    with patient(server) as client, daemons(server.tcp_url, place.daemon):
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", _START_S)
        at = place.accept_slowly(count, _PAUSE_S)
        receiver.wait_for(count)
    _check_each_once(receiver, count)
    return [(each.at - at[each.id]) * 1000 for each in receiver.requests()[count // 5 :]]


def _founded(server: Server, receiver: Receiver) -> Deployed:
    server.flush()
    receiver.forget()
    place = Deployed(server.tcp_url, receiver)
    place.found()
    return place


def _check_each_once(receiver: Receiver, count: int) -> None:
    found = receiver.by_id()
    requests = sum(map(len, found.values()))
    if (len(found), requests) != (count, count):
        raise RuntimeError(f"{requests} requests of {len(found)} ids instead of {count}")
