"""A consumer that does nothing with what it gets: ``python -m tests.bench.consume URL NAME``."""

from __future__ import annotations

import asyncio
import signal
import sys

from galaxy_notify.gateway import Event, GatewayConsumer

GROUP = "bench"


async def consume(url: str, name: str) -> None:
    """Consume until told to stop."""

    async def handle(event: Event) -> None:
        del event

    async with GatewayConsumer.from_url(url, group=GROUP, consumer=name) as consumer:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        await consumer.run(handle)


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2]))
