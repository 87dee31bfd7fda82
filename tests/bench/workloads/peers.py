"""Other queues, each in its own environment: a no-op job with the same payload."""

from __future__ import annotations

import subprocess

from tests.bench.bench_run import BenchRun
from tests.bench.drain import drain, drain_sequential
from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.peers import PEERS, Peer, PeerError
from tests.bench.texts import texts
from tests.support.servers import Server

OURS = "galaxy-notify"
BEST_PYTHON = "best Python peer"
_JAVASCRIPT = {"BullMQ"}
_PROBE = 1000


def measure(bench: BenchRun, figures: Figures) -> None:
    """Let everybody drain a backlog, in turn; how large it is depends on how fast they are."""
    seconds, most = bench.size(6, 2), bench.size(100_000, 20_000)
    peers = [peer for peer in PEERS if _is_there(peer, figures)]
    with bench.server() as server:
        sizes = {
            peer.name: max(_PROBE, min(most, int(seconds * rate)))
            for peer in peers
            if (rate := _rate(peer, server, _PROBE, figures)) is not None
        }
        for _ in range(bench.runs):
            figures.add(OURS, drain(server, Load(most)).rate, "jobs/s")
            figures.add("sequential loop", drain_sequential(server, most // 20).rate, "jobs/s")
            rates: dict[str, float] = {}
            for peer in peers:
                jobs = sizes.get(peer.name)
                rate = _rate(peer, server, jobs, figures) if jobs else None
                if rate is not None:
                    rates[peer.name] = rate
                    figures.add(peer.name, rate, "jobs/s")
            if python := [rate for name, rate in rates.items() if name not in _JAVASCRIPT]:
                figures.add(BEST_PYTHON, max(python), "jobs/s")


def _is_there(peer: Peer, figures: Figures) -> bool:
    reason = peer.available()
    about = f"not installed: {reason}" if reason else f"{peer.version()}; {peer.settings}"
    figures.note(f"{peer.name}: {about}")
    return reason is None


def _rate(peer: Peer, server: Server, jobs: int, figures: Figures) -> float | None:
    """Measure a peer; one that fails is told in the notes, and is no reason to end."""
    server.flush()
    try:
        return peer.drain(server, jobs, texts(200)[0].encode())
    except (PeerError, subprocess.SubprocessError, OSError, AssertionError) as error:
        figures.note(f"{peer.name}: failed: {error}")
        return None
