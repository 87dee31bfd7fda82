"""A consumer that does nothing with what it gets: ``python -m tests.bench.consume URL NAME WAY``.

Other commits run this module too: it uses only what the package exports.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Mapping, Sequence

from galaxy_notify.gateway import Event, GatewayConsumer

GROUP = "bench"
ONE_BY_ONE, BATCHES = "run", "run_batches"


async def consume(url: str, name: str, way: str) -> None:
    """Consume one event after the other, or batches of them, until a signal ends it."""
    async with GatewayConsumer.from_url(url, group=GROUP, consumer=name) as consumer:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        await getattr(consumer, way)(_handle if way == ONE_BY_ONE else _handle_batch)


async def _handle(event: Event) -> None:
    del event


async def _handle_batch(events: Sequence[Event]) -> Mapping[str, str]:
    """Return no failure."""
    del events
    return {}


def can_batches() -> bool:
    """Tell whether this commit has batches; commits before do not."""
    return hasattr(GatewayConsumer, BATCHES)


if __name__ == "__main__":
    # As docs/performance.md advises, and as our own processes do: what was imported stays.
    gc.freeze()
    asyncio.run(consume(*sys.argv[1:4]))
