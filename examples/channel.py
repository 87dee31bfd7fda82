"""A channel of your own, which posts into the rooms of a chat: `kind = "channel:send"`.

The daemon imports it, so it must be on the Python path: PYTHONPATH=examples galaxy-notify run
Without arguments from a daemon it is the chat: python examples/channel.py [--port 8065]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, unquote
from urllib.request import Request, urlopen

from galaxy_notify.channels import Delivery, TransientDeliveryError

CHAT: Final = os.environ.get("CHAT_URL", "http://127.0.0.1:8065")
#: Less than `timeout_ms`: a thread cannot be cancelled.
TIMEOUT_S: Final = 10
#: The room that does not exist, to see a refused delivery.
MISSING: Final = "nowhere"


async def send(delivery: Delivery) -> None:
    """Post one notification into one room; the address of a contact is the room's name.

    To return is to have delivered it. `TransientDeliveryError` requests another attempt; any other
    error makes a dead letter at once. It runs on the event loop of the daemon, so what blocks
    belongs into a thread.
    """
    text = f"{delivery.user_id}: {delivery.title or delivery.type}"
    await asyncio.to_thread(_post, delivery.address, text, delivery.event_id)


def _post(room: str, text: str, event_id: str) -> None:
    # The id is the same in each attempt: by it the chat recognizes one that it has.
    headers = {"Content-Type": "application/json", "Idempotency-Key": event_id}
    body = json.dumps({"text": text}).encode()
    try:
        with urlopen(
            Request(f"{CHAT}/rooms/{quote(room, safe='')}", body, headers), None, TIMEOUT_S
        ):
            return
    except HTTPError as error:
        status, asked = error.code, error.headers.get("Retry-After", "")
        error.close()
    except (OSError, HTTPException) as error:
        raise TransientDeliveryError(f"the chat is away: {type(error).__name__}") from error
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_ms = int(asked) * 1000 if asked.isdecimal() else None
        raise TransientDeliveryError(f"the chat answered {status}", retry_after_ms=wait_ms)
    raise ValueError(f"the chat answered {status}")


class Chat(BaseHTTPRequestHandler):
    """A chat that prints what is posted, each message once."""

    seen: Final[set[str]] = set()

    def do_POST(self) -> None:
        """Print the message."""
        room = unquote(self.path.removeprefix("/rooms/"))
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        event_id = self.headers["Idempotency-Key"]
        is_known = room != MISSING
        if is_known and event_id not in self.seen:
            self.seen.add(event_id)
            sys.stdout.write(f"[{room}] {text}\n")
            sys.stdout.flush()
        self.send_response(HTTPStatus.NO_CONTENT if is_known else HTTPStatus.NOT_FOUND)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print no line for each request."""


def main() -> None:
    """Serve the chat until it is interrupted."""
    parser = argparse.ArgumentParser(description="A chat that prints what is posted.")
    parser.add_argument("--port", type=int, default=8065)
    with ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Chat) as chat:
        sys.stdout.write(f"chat at http://127.0.0.1:{chat.server_port}\n")
        sys.stdout.flush()
        chat.serve_forever()


if __name__ == "__main__":
    main()
