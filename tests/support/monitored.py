"""Which commands are run on which keys while a block runs, as the server tells of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.support.servers import Server
from tests.support.wait import HANG_S

_LAST = "that was the last one"


class Ran:
    """What was run: the command, and the words behind it."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = []

    def add(self, line: str) -> None:
        """Note one line of MONITOR."""
        self._lines.append(line.split(" "))

    def count(self, word: str) -> int:
        """Return how many commands have this word."""
        return sum(word in line for line in self._lines)

    def keys_of(self, command: str) -> set[str]:
        """Return the words that were handed to a command such as ``XGROUP CREATE``."""
        named = command.split()
        return {
            word
            for line in self._lines
            if [first.upper() for first in line[: len(named)]] == named
            for word in line[len(named) :]
        }


@contextmanager
def monitored(server: Server) -> Iterator[Ran]:
    """Listen to every command, those of scripts among them."""
    ran = Ran()
    # The server may have nothing to do for longer than a call may take.
    patient = redis.Redis.from_url(server.url, socket_timeout=HANG_S)
    with patient as client, client.monitor() as monitor, server.client() as other:

        def listen() -> None:
            while _LAST not in (line := str(monitor.next_command()["command"])):
                ran.add(line)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield ran
        finally:
            other.echo(_LAST)
            listener.join()
