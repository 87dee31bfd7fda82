"""Where the time goes: one batch of 128 after the other, without a daemon, part by part.

Each value is the lowest of all batches of a run, so that other load on the machine matters little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import hiredis
import redis

from galaxy_notify.encoding import load_encoder
from galaxy_notify.publishing.batch import BatchDecisions
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.settlement import Settlement, read_settled
from galaxy_notify.telemetry import Telemetry
from tests.bench import floor
from tests.bench.bench_run import BenchRun, deployment, patient
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.watch import commands

T = TypeVar("T")
_BATCH = 128
_UNIT = "µs/route"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Publish backlogs of single recipients and of fan-outs, and do the floor beside them."""
    batches = bench.size(200, 60)
    with bench.server() as server, patient(server) as client:
        for _ in range(bench.runs):
            for fan_out, name in ((1, "single"), (32, "fan-out of 32")):
                server.flush()
                fill(server.tcp_url, Load(_BATCH * batches // fan_out, fan_out=fan_out))
                with deployment(server.tcp_url) as opened:
                    lowest = _Lowest(client)
                    for _ in range(batches):
                        _publish_batch(opened, lowest)
                for part, took in lowest.parts():
                    figures.add(f"{name}: {part}", took, _UNIT)
            lowest = _Lowest(client)
            for _ in range(batches):
                lowest.server("XADD alone", lambda: floor.add(client, _BATCH, 200))
            figures.add("server: XADD alone", dict(lowest.parts())["server: XADD alone"], _UNIT)


def _publish_batch(deployment: Deployment, lowest: _Lowest) -> None:
    keys, token = deployment.keys(0), f"bench:0:60000:{time.time_ns()}"
    limits = leases.ClaimLimits(_BATCH, 60_000, 4 << 20, 300_000, 0)
    policy = Policy("bench", load_encoder("msgpack"), deployment.shared)
    reporter = Reporter(Telemetry(), keys, "bench", 8)

    call = leases.route_claim(keys, "push", token, limits, alone=False, now=None)
    reply = lowest.server("claim", lambda: run_sync(deployment.client, call))
    claim = lowest.worker("read what was claimed", lambda: leases.read_claim(reply, token))
    if len(claim.members) != _BATCH:
        raise RuntimeError(f"{len(claim.members)} claimed instead of {_BATCH}")

    batch = lowest.worker("decide and encode", lambda: _decided(policy, claim))
    settle = lowest.worker("put settle's arguments together", lambda: _settled(batch, keys, token))
    lowest.worker("pack the command", lambda: hiredis.pack_command(tuple(settle.command)))
    answer = lowest.server("settle", lambda: run_sync(deployment.client, settle))
    settled = lowest.worker("read what was settled", lambda: read_settled(answer))
    lowest.worker("report", lambda: reporter.settled("push", batch.decisions, settled))


def _decided(policy: Policy, claim: leases.Claim) -> BatchDecisions:
    batch = BatchDecisions(policy, "push", claim)
    for member in claim.members:
        batch.add(member)
    return batch


def _settled(batch: BatchDecisions, keys: Keys, token: str) -> ScriptCall:
    settlement = Settlement(decision.outcome for decision in batch.decisions)
    return settlement.call(keys, "push", token, claimed=_BATCH)


class _Lowest:
    """The lowest time that each part took, in µs for each route."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._parts: dict[str, float] = {}

    def parts(self) -> Iterator[tuple[str, float]]:
        """Return each part with its time, those of the server first."""
        yield from sorted(self._parts.items(), key=lambda part: part[0].startswith("worker"))

    def server(self, part: str, work: Callable[[], T]) -> T:
        """Do something and note how long the scripts of it ran."""
        before = self._script_us()
        done = work()
        self._note(f"server: {part}", self._script_us() - before)
        return done

    def worker(self, part: str, work: Callable[[], T]) -> T:
        """Do something and note how long it took."""
        started = time.perf_counter()
        done = work()
        self._note(f"worker: {part}", (time.perf_counter() - started) * 1e6)
        return done

    def _note(self, part: str, took_us: float) -> None:
        took = took_us / _BATCH
        self._parts[part] = min(took, self._parts.get(part, took))

    def _script_us(self) -> int:
        return int(commands(self._client).get("evalsha", {"usec": 0})["usec"])
