"""A channel of one's own for tests: it posts to the address, as a plain client of HTTP would."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from galaxy_notify.channels import Delivery, TransientDeliveryError
from galaxy_notify.webhooks.signature import message_id

_DELIVERED = range(200, 300)


async def send(delivery: Delivery) -> None:
    """Post an empty body under the id that a webhook of the same event would have."""
    parts = urlsplit(delivery.address)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 0\r\n"
        f"webhook-id: {message_id(delivery.event_id)}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(head.encode())
            answer = await reader.readuntil(b"\r\n")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except (OSError, EOFError) as error:
        raise TransientDeliveryError(type(error).__name__) from error
    status = int(answer.split(b" ")[1])
    if status not in _DELIVERED:
        raise TransientDeliveryError(f"it answered {status}")
