"""Reads for operators: many commands in one round trip, on a synchronous connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.deployment import Deployment

Words = Sequence[Any]


def read_all(deployment: Deployment, commands: Iterable[Words]) -> list[Any]:
    """Return a reply for each command; raise `RedisFault` where one failed."""
    return [unwrap(reply) for reply in try_all(deployment, commands)]


def try_all(deployment: Deployment, commands: Iterable[Words]) -> list[Any]:
    """Return a reply or a fault for each command; raise `RedisFault` where Redis is away."""
    reads = [Command(list(command)) for command in commands]
    return run_all_sync(deployment.client, reads) if reads else []


def server_now(deployment: Deployment) -> int:
    """Return the server's clock in epoch ms."""
    (time,) = read_all(deployment, [["TIME"]])
    return int(time[0]) * 1000 + int(time[1]) // 1000
