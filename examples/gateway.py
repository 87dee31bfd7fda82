"""A small gateway: it reads the stream as one of a group, and delivers by printing.

python examples/gateway.py [--url unix:///run/redis.sock] [--consumer gw-1]
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from galaxy_notify.gateway import Event, GatewayConsumer
from galaxy_notify.telemetry.logs import configure_logs


async def deliver(event: Event) -> None:
    """Deliver one event; to raise means that it is delivered again later."""
    payload = event.payload
    words = payload.get("title") or payload.get("body") or event.event_type
    sys.stdout.write(f"{event.user_id}: {words}\n")
    sys.stdout.flush()


async def main() -> None:
    """Read until SIGINT or SIGTERM; the handler in hand ends first."""
    parser = argparse.ArgumentParser(description="Print every event of the gateway stream, once.")
    parser.add_argument("--url", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--consumer", default="gw-1", help="a name of its own for each process")
    arguments = parser.parse_args()
    configure_logs()
    async with GatewayConsumer.from_url(
        arguments.url, group="gateway", consumer=arguments.consumer
    ) as consumer:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
        await consumer.run(deliver)


if __name__ == "__main__":
    asyncio.run(main())
