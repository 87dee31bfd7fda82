"""Tasks that accept at the same time, and calls that are kept from being sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.redis_client import async_pools
from tests.support.intents import PLAIN


@asynccontextmanager
async def no_connection_free(notifier: AsyncNotifier) -> AsyncIterator[Any]:
    """Keep what is accepted in the block from being sent; give the line of those that wait."""
    await notifier.accept(PLAIN)
    # However slow this machine is: nobody is sent away as from a server that answers nothing.
    patch = pytest.MonkeyPatch()
    patch.setattr(async_pools, "LOOKS", 1000)
    pool: Any = notifier._client._client.connection_pool
    lent = [await pool.get_connection() for _ in range(8)]
    try:
        yield pool._shares[asyncio.get_running_loop()]._line
    finally:
        for connection in lent:
            pool.put(connection)
        patch.undo()


def keyed(number: int, **fields: Any) -> dict[str, Any]:
    """Return an intent with a key and a recipient of its own."""
    return {**PLAIN, "recipients": [f"u{number}"], "idempotency_key": f"k{number}", **fields}


def accepting(notifier: AsyncNotifier, *intents: Mapping[str, Any]) -> list[asyncio.Task[Receipt]]:
    """Return a task for each intent; they begin in this order."""
    return [asyncio.ensure_future(notifier.accept(one)) for one in intents]


async def ends(tasks: Sequence[asyncio.Task[Receipt]]) -> list[Any]:
    """Return the receipt, or the error, of each task."""
    return await asyncio.gather(*tasks, return_exceptions=True)
