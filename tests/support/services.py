"""Services for the kind ``apprise``: a receiver of JSON, one that never answers, and their URLs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.receiver import Receiver

#: A part of each URL here that must be nowhere but in the settings.
SECRET = "s3cret-t0ken"


def service_url(port: int, path: str = "") -> str:
    """Return the URL of a service on this machine, with a secret in all of its parts."""
    return f"json://{SECRET}:{SECRET}@127.0.0.1:{port}/{SECRET}{path}?-key={SECRET}"


def taken(receiver: Receiver) -> list[dict[str, Any]]:
    """Return what a receiver was sent, without what is the same in each."""
    bodies = [json.loads(body) for _, _, body in receiver.requests]
    return [{name: body[name] for name in ("title", "message", "type")} for body in bodies]


@contextmanager
def hanging() -> Iterator[int]:
    """Give the port of a service that takes connections and requests, and never answers.

    At the end its connections are reset, so that no thread of a test stays.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener.getsockname()[1]
