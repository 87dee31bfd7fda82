"""Peers of the same benchmark run: the newest release of each, set up for throughput."""

from __future__ import annotations

from tests.bench.peers.arq import ARQ
from tests.bench.peers.bullmq import BULLMQ
from tests.bench.peers.celery import CELERY
from tests.bench.peers.dramatiq import DRAMATIQ
from tests.bench.peers.environments import PeerError
from tests.bench.peers.huey import HUEY
from tests.bench.peers.peer import Peer
from tests.bench.peers.saq import SAQ
from tests.bench.peers.streaq import STREAQ
from tests.bench.peers.taskiq import TASKIQ

PEERS: list[Peer] = [ARQ, SAQ, DRAMATIQ, HUEY, STREAQ, TASKIQ, CELERY, BULLMQ]

__all__ = ["PEERS", "Peer", "PeerError"]
