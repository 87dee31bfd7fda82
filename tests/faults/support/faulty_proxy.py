"""A proxy that troubles what passes: late, lost, cut, in pieces, garbled, or never at all.

What happens to a call is drawn from a seeded generator of its connection, or given for the n-th.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.proxy import Connection, Proxy

#: What may befall a call, beside being late.
FAULTS = ("drop_request", "drop_reply", "truncate", "split", "garble", "reset")


@dataclass(frozen=True)
class Trouble:
    """How a link is: how late replies are, how fast they come, and the chances of each fault."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    chances: Mapping[str, float] = field(default_factory=dict)
    #: Number of a call, from 1 → its fault.
    nth: Mapping[int, str] = field(default_factory=dict)
    #: What the first byte of a garbled reply becomes; otherwise it is drawn.
    first_byte: bytes = b""


class FaultyProxy(Proxy):
    """A proxy with a `trouble`, which may be changed at any time."""

    def __init__(self, upstream: Path, rng: Random, trouble: Trouble | None = None) -> None:
        self.trouble = trouble or Trouble()
        self.counts: Counter[str] = Counter()
        self.calls = 0
        self._seed = rng.random()
        self._is_hole = False
        self._faulty: list[_FaultyConnection] = []
        super().__init__(upstream)

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Let nothing pass while the block runs, on old and new connections."""
        self._is_hole = True
        try:
            yield
        finally:
            self._is_hole = False

    def silence(self) -> None:
        """Let nothing pass any more on the connections there are; new ones are as ever."""
        with self._lock:
            connections = [*self._faulty]
        for connection in connections:
            connection.is_mute = True

    def fault_of(self, rng: Random) -> str:
        """Draw what befalls the next call; mostly nothing."""
        with self._lock:
            self.calls += 1
            drawn = self.trouble.nth.get(self.calls, "")
            for name, chance in self.trouble.chances.items():
                if rng.random() < chance:
                    drawn = drawn or name
            if drawn:
                self.counts[drawn] += 1
        return drawn

    @property
    def is_hole(self) -> bool:
        """Tell whether nothing passes."""
        return self._is_hole

    def _connection(self, client: socket.socket) -> Connection:
        rng = Random(f"{self._seed}:{self.connections}")
        made = _FaultyConnection(self, client, rng)
        self._faulty.append(made)
        return made


class _FaultyConnection(Connection):
    def __init__(self, proxy: FaultyProxy, client: socket.socket, rng: Random) -> None:
        super().__init__(proxy, client)
        self.is_mute = False
        self._troubled = proxy
        self._rng = rng
        self._fault = ""

    def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._client.recv(1 << 16):
                self._fault = self._troubled.fault_of(self._rng)
                # A call that never comes is never answered, nor is any after it.
                self.is_mute |= self._fault == "drop_request" or self._troubled.is_hole
                if not self.is_mute:
                    self._server.sendall(request)
        self._end()

    def _replies(self) -> None:
        with contextlib.suppress(OSError):
            while reply := self._server.recv(1 << 16):
                trouble = self._troubled.trouble
                _wait(trouble.delay_s + trouble.jitter_s * (2 * self._rng.random() - 1))
                self.is_mute |= self._fault == "drop_reply" or self._troubled.is_hole
                if self._fault == "reset":
                    break
                if not self.is_mute and not self._hand_on(reply, trouble):
                    break
        self._end()

    def _hand_on(self, reply: bytes, trouble: Trouble) -> bool:
        """Send a reply as its fault has it; False where the connection ends there."""
        if self._fault == "truncate":
            self._client.sendall(reply[: len(reply) // 2])
            return False
        if self._fault == "garble":
            # What the reply is made of; what it carries is the business of TCP's own sums, or TLS.
            drawn = bytes([reply[0] ^ self._rng.randrange(1, 256)])
            reply = (trouble.first_byte or drawn) + reply[1:]
        size = 1 if self._fault == "split" else 1460 if trouble.bytes_per_s else len(reply)
        for at in range(0, len(reply), size):
            self._client.sendall(reply[at : at + size])
            if trouble.bytes_per_s:
                _wait(size / trouble.bytes_per_s)
        return True


def _wait(seconds: float) -> None:
    if seconds > 0:
        threading.Event().wait(seconds)


@contextmanager
def faulty(upstream: Path, rng: Random, trouble: Trouble | None = None) -> Iterator[FaultyProxy]:
    """Run a faulty proxy while the block runs."""
    proxy = FaultyProxy(upstream, rng, trouble)
    try:
        yield proxy
    finally:
        proxy.close()
