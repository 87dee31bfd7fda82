"""Gateways that reported themselves, as the registry and their inboxes hold them."""

from __future__ import annotations

from typing import Any

from galaxy_notify.redis_state.gateways import REPORT_TTL_MS
from galaxy_notify.redis_state.inbox import TTL_MS
from galaxy_notify.redis_state.keys import inbox_key
from tests.support.dead_letters import DeadLetterFixture


def gateway_alive(
    deployment: DeadLetterFixture, name: str = "gw-1", *, ago_ms: int = 0, **about: str
) -> None:
    """Let a gateway have reported so long ago, with an inbox of which it has read all."""
    keys = deployment.key_space.keys(0)
    seconds, micros = deployment.client.time()
    at_ms = seconds * 1000 + micros // 1000 - ago_ms
    fields: Any = {"host": "h", "pid": "7", "version": "0.1.0", "connections": "3", "users": "2"}
    times = {"started_ms": str(at_ms), "progress_ms": str(at_ms)}
    deployment.client.hset(keys.gateway(name), mapping=fields | times | about)
    deployment.client.pexpire(keys.gateway(name), REPORT_TTL_MS)
    deployment.client.zadd(keys.gateways, {name: at_ms})
    inbox = inbox_key(deployment.key_space.prefix, name)
    deployment.client.xadd(inbox, {"made": "1"})
    deployment.client.pexpire(inbox, TTL_MS)
