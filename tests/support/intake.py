"""Readers of the intent stream in tests: in this process, or as processes of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis

from galaxy_notify.daemon.intake import IntakePart
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.redis_state.keys import IntentKeys
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.servers import Server
from tests.support.wait import HANG_S, until

KEYS = IntentKeys("gn:intents")
GROUP = "galaxy-notify"
INTENT = {"type": "t", "producer": "p", "recipients": ["u1"]}
#: What a reader that died had in hand is another's at once.
QUICK: dict[str, Any] = {"intake__claim_idle_ms": 300}


def intent(number: int, **fields: Any) -> str:
    """Return the JSON of an intent for user *number*."""
    return json.dumps({**INTENT, "recipients": [f"u{number}"], **fields})


def hand_in(client: redis.Redis, *texts: str | bytes) -> list[str]:
    """Add an entry for each text; return the ids."""
    ids: list[Any] = [client.xadd(KEYS.stream, {"intent": text}) for text in texts]
    return [made if isinstance(made, str) else made.decode() for made in ids]


def rejects(client: redis.Redis) -> list[dict[str, bytes]]:
    """Return the fields of all rejects."""
    rows: Any = client.xrange(KEYS.rejects)
    return [{name.decode(): value for name, value in fields.items()} for _, fields in rows]


def left(client: redis.Redis) -> int:
    """Return how many entries are in the stream."""
    length: Any = client.xlen(KEYS.stream)
    return int(length)


def pending(client: redis.Redis) -> int:
    """Return how many entries are in hand; none while there is no group."""
    groups: Any = client.xinfo_groups(KEYS.stream) if client.exists(KEYS.stream) else []
    return sum(int(group["pending"]) for group in groups)


def in_hand(client: redis.Redis) -> dict[str, Any]:
    """Return how the first entry in hand is held."""
    rows: Any = client.xpending_range(KEYS.stream, GROUP, "-", "+", 1)
    return dict(rows[0])


@asynccontextmanager
async def reading(
    settings: Settings,
    telemetry: Telemetry | None = None,
    name: str = "reader-1",
    notifier: AsyncNotifier | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Read while the block runs; then it must end at once."""
    part = IntakePart(settings, telemetry or Telemetry.off(), name, notifier=notifier)
    running = asyncio.create_task(part.run())
    try:
        yield running
    finally:
        part.stop()
        await asyncio.wait_for(running, HANG_S)


def read_until(
    settings: Settings,
    condition: Callable[[], object],
    description: str,
    telemetry: Telemetry | None = None,
) -> None:
    """Read until something holds."""

    async def main() -> None:
        async with reading(settings, telemetry):
            await until(condition, description)

    asyncio.run(main())


@contextmanager
def intake_on(
    server: Server,
    failpoints: str = "",
    variables: Mapping[str, str] | None = None,
    command: str = "intake",
    **given: Any,
) -> Iterator[DaemonProcess]:
    """Run ``galaxy-notify intake`` while the block runs; whatever is left of it then is killed."""
    failing = {"GN_FAILPOINTS": failpoints} if failpoints else {}
    named = dict(variables or {}) | failing
    with daemon_on(server, command=command, variables=named, **given) as process:
        yield process
