"""A small gateway: it reads the stream as a consumer of a group, and prints each event.

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
    """Deliver one event; if this raises, the event is delivered again later."""
    payload = event.payload
    words = payload.get("title") or payload.get("body") or event.event_type
    sys.stdout.write(f"{event.user_id}: {words}\n")
    sys.stdout.flush()


async def main() -> None:
    """Read until SIGINT or SIGTERM; a running handler ends first."""
    parser = argparse.ArgumentParser(description="Print every event of the gateway stream, once.")
    parser.add_argument("--url", default="redis://127.0.0.1:6379/0")
    parser.add_argument("--consumer", default="gw-1", help="a different name for each process")
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
