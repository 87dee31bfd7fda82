"""Forgets the names of consumers that have ended: every new name stays in its group for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio

from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.replies import pairs
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Command, ScriptCall, script
from galaxy_notify.redis_state.keys import IntentKeys, Keys

#: Names of one script, which then takes about a millisecond.
PAGE: Final = 256
#: Names of one pass.
_PASS: Final = 40 * PAGE


def consumer_forget(
    keys: Keys | IntentKeys, group: bytes | str, names: Sequence[bytes]
) -> ScriptCall:
    """Forget those of the stream's consumers that hold nothing."""
    return ScriptCall(script("consumer_forget"), [keys.stream, keys.never], [group, *names])


async def forget_consumers(
    client: redis.asyncio.Redis, keys: Keys | IntentKeys, group: bytes | str, idle_ms: int
) -> bool:
    """Forget consumers that hold nothing and were idle for *idle_ms*, some at a time.

    The one that was seen last stays: it shows when the group was last used. Returns whether there
    may be more to forget; raises `RedisFault`.
    """
    with as_fault("XINFO"):
        (reply,) = await run_all(client, [Command(["XINFO", "CONSUMERS", keys.stream, group])])
        names = _ended([pairs(row) for row in unwrap(reply)], idle_ms)
    chosen = names[:_PASS]
    for at in range(0, len(chosen), PAGE):
        await run(client, consumer_forget(keys, group, chosen[at : at + PAGE]))
    return len(names) > _PASS


def _ended(consumers: list[dict[bytes, Any]], idle_ms: int) -> list[bytes]:
    latest = min(consumers, key=lambda row: int(row[b"idle"]), default=None)
    return [
        row[b"name"]
        for row in consumers
        if row is not latest and int(row[b"pending"]) == 0 and int(row[b"idle"]) > idle_ms
    ]
