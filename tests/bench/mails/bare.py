"""Bare e-mails: aiosmtplib hands in messages that were made before, and does nothing else.

A process of its own: ``python -m tests.bench.mails.bare COUNT TOGETHER PORT``. Prints the seconds
that all of them took, over connections that were made before.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import aiosmtplib

from galaxy_notify.mail.message import Mail, message_id
from galaxy_notify.mail.templates import Templates
from galaxy_notify.model.mailbox import Mailbox
from tests.bench.hooks.bare import TEXT_BYTES
from tests.bench.texts import texts

SENDER = Mailbox("Bench", "bench@example.com")


def messages(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield a recipient and the message that the daemon would send."""
    bodies, templates = texts(TEXT_BYTES), Templates("")
    for number in range(count):
        values = {
            "title": "Your turn",
            "body": bodies[number % len(bodies)],
            "type": "bench.turn",
            "sender": SENDER.name,
            "colour": "#4c8dff",
        }
        written = templates.write("bench.turn", values)
        recipient = f"user-{number}@example.org"
        name = message_id(f"bare {time.time_ns()} {number}", "example.com")
        yield recipient, Mail(SENDER, recipient, *written, name, time.time()).as_bytes()


async def send(count: int, together: int, port: int) -> float:
    """Send so many; return the seconds that it took."""
    rest = iter(list(messages(count)))
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port) for _ in range(together)]
    for client in clients:
        await client.connect(start_tls=True)
    began = time.perf_counter()
    await asyncio.gather(*(_lane(client, rest) for client in clients))
    took = time.perf_counter() - began
    for client in clients:
        await client.quit()
    return took


async def _lane(client: aiosmtplib.SMTP, rest: Iterator[tuple[str, bytes]]) -> None:
    for recipient, content in rest:
        await client.sendmail(SENDER.address, recipient, content)


if __name__ == "__main__":
    print(asyncio.run(send(*map(int, sys.argv[1:]))))
