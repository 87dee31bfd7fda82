"""A receiver of webhooks in a process of its own, which counts what comes and answers as asked.

``python -m tests.support.receiver_process SEED ADDRESS…`` listens on one port of all these
addresses, prints it, and ends when its input does. It is controlled over the same
port, see `Receiver`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from random import Random
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import InvalidSignature
from galaxy_notify.webhooks import verify
from tests.support.program import ROOT
from tests.support.wait import HANG_S, wait_until

LOCAL: Final = "127.0.0.1"
_CONTROL: Final = "/control/"
_LARGEST_HEAD: Final = 65_536


@dataclass(frozen=True)
class Behaviour:
    """How requests are answered, from now on.

    *fail* and *slow* are the shares that are answered with *failure*, and after *slow_ms*. Requests
    are held while the *gate* is shut, and answered once it is open. With a *secret* the signature
    of each is checked.
    """

    status: int = 200
    fail: float = 0.0
    failure: int = 503
    slow: float = 0.0
    slow_ms: int = 300
    is_shut: bool = False
    secret: str = ""
    headers: Mapping[str, str] | None = None


class Request(NamedTuple):
    """One that came: its path and id, when (Unix time), and what it was answered.

    A *status* of 0: not yet, or the other side had closed the connection before. *is_signed*: with
    the secret that the receiver has.
    """

    path: str
    id: str
    at: float
    status: int = 0
    is_signed: bool = False


class Receiver:
    """A receiver that runs: what it was sent, and how it answers."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, path: str = "/", host: str = LOCAL) -> str:
        """Return the URL of an endpoint."""
        return f"http://{host}:{self.port}{path}"

    def behave(self, behaviour: Behaviour) -> None:
        """Answer so from now on; what was held is answered if the gate is open."""
        self._call("POST", "behave", json.dumps(asdict(behaviour)))

    def requests(self) -> list[Request]:
        """Return all requests that came, in their order."""
        found: list[Request] = []
        while page := json.loads(self._call("GET", f"requests/{len(found)}")):
            found += [Request(*each) for each in page]
        return found

    def count(self) -> int:
        """Return how many requests came."""
        return int(self._call("GET", "count"))

    def by_id(self) -> dict[str, list[Request]]:
        """Return the requests of each id."""
        found: dict[str, list[Request]] = {}
        for each in self.requests():
            found.setdefault(each.id, []).append(each)
        return found

    def wait_for(self, number: int) -> None:
        """Wait until so many requests came."""
        wait_until(lambda: self.count() >= number, f"{number} requests came")

    def forget(self) -> None:
        """Forget all requests."""
        self._call("POST", "forget")

    def _call(self, method: str, what: str, body: str = "") -> bytes:
        connection = HTTPConnection(LOCAL, self.port, timeout=HANG_S)
        try:
            connection.request(method, _CONTROL + what, body.encode())
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def running_receiver(hosts: Sequence[str] = (LOCAL,), seed: int = 0) -> Iterator[Receiver]:
    """Let a receiver listen on these addresses while the block runs."""
    command = [sys.executable, "-m", "tests.support.receiver_process", str(seed), *hosts]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Receiver(int(process.stdout.readline()))
        finally:
            process.stdin.close()


class _Book:
    """What came, and how it is answered."""

    _PAGE: Final = 10_000

    def __init__(self, seed: int) -> None:
        self.behaviour = Behaviour()
        self.requests: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._rng = Random(seed)

    def control(self, what: str, body: bytes) -> bytes:
        """Do what the control asks, and return the answer."""
        name, _, number = what.partition("/")
        if name == "requests":
            return json.dumps(self.requests[int(number) : int(number) + self._PAGE]).encode()
        if name == "count":
            return b"%d" % len(self.requests)
        if name == "forget":
            self.requests = []
        elif name == "behave":
            self.behaviour = Behaviour(**json.loads(body))
            (self.gate.clear if self.behaviour.is_shut else self.gate.set)()
        return b""

    def note(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Note a request, and return its number."""
        name = headers.get("webhook-id", "")
        secret = self.behaviour.secret
        signed = bool(secret) and _is_signed(secret, headers, body)
        self.requests.append(Request(path, name, time.time(), 0, signed))
        return len(self.requests) - 1

    def drawn(self) -> tuple[int, float]:
        """Return with which status to answer, and after how many seconds."""
        now = self.behaviour
        status = now.failure if now.fail and self._rng.random() < now.fail else now.status
        return status, now.slow_ms / 1000 if now.slow and self._rng.random() < now.slow else 0.0

    def answered(self, number: int, status: int) -> None:
        """Note what a request was answered; it may be forgotten by now."""
        if number < len(self.requests):
            self.requests[number] = self.requests[number]._replace(status=status)


def _is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    with suppress(InvalidSignature):
        verify(secret, headers, body)
        return True
    return False


class _Connection(asyncio.Protocol):
    """One connection: answers one request after the other."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._data = b""
        self._transport: asyncio.Transport
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._go_on()

    def _go_on(self) -> None:
        """Answer the next request, if all of it is there and none is under way."""
        while self._waiting is None:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                assert len(head) < _LARGEST_HEAD
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            fields = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in fields}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._data = rest[length:]
            self._take(first.split(" ")[1], headers, rest[:length])

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        if path.startswith(_CONTROL):
            return self._write(200, self._book.control(path.removeprefix(_CONTROL), body))
        number = self._book.note(path, headers, body)
        status, delay = self._book.drawn()
        if delay or not self._book.gate.is_set():
            self._waiting = asyncio.ensure_future(self._answer_later(number, status, delay))
            return None
        return self._answer(number, status)

    async def _answer_later(self, number: int, status: int, delay: float) -> None:
        await asyncio.sleep(delay)
        await self._book.gate.wait()
        self._answer(number, status)
        self._waiting = None
        self._go_on()

    def _answer(self, number: int, status: int) -> None:
        if not self._transport.is_closing():
            self._write(status, b"ok", self._book.behaviour.headers)
            self._book.answered(number, status)

    def _write(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"HTTP/1.1 {status} S\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def _main(seed: int, hosts: Sequence[str]) -> None:
    book, loop = _Book(seed), asyncio.get_running_loop()
    first = await loop.create_server(lambda: _Connection(book), hosts[0], 0, backlog=1024)
    port: Any = first.sockets[0].getsockname()[1]
    for host in hosts[1:]:
        await loop.create_server(lambda: _Connection(book), host, port, backlog=1024)
    print(port, flush=True)  # noqa: T201
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2:]))
