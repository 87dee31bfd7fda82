"""Connections that wait for their next request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

from galaxy_notify.channels import idle_wires as module
from galaxy_notify.channels.idle_wires import IdleWires
from galaxy_notify.channels.wire import TlsWire, Wire
from tests.support.wait import HANG_S, until

ORIGIN = "https://a.example:443"


class Ends:
    """Wires, each with its other end."""

    def __init__(self) -> None:
        self.others: list[socket.socket] = []

    def wire(self) -> Wire:
        """Return one that is connected."""
        own, other = socket.socketpair()
        own.setblocking(False)
        other.setblocking(False)
        self.others.append(other)
        return Wire(own)

    def is_closed(self, number: int) -> bool:
        """Tell whether a wire was closed."""
        try:
            return self.others[number].recv(1) == b""
        except BlockingIOError:
            return False


def run(scenario: Callable[[IdleWires, Ends], Awaitable[None]]) -> None:
    """Run a scenario; all is closed after it."""

    async def beside() -> None:
        idle, ends = IdleWires(), Ends()
        await scenario(idle, ends)
        idle.close()
        assert idle._count == 0
        assert idle._wires == {}
        for other in ends.others:
            other.close()

    asyncio.run(beside())


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """None expires unless a test says so."""
    monkeypatch.setattr(module, "_KEPT_S", HANG_S)


def test_take__the_one_used_last() -> None:
    """Of the same origin only, and once."""

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        first, second = ends.wire(), ends.wire()
        idle.put(ORIGIN, first)
        idle.put(ORIGIN, second)
        assert idle.take("https://b.example:443") is None
        assert [idle.take(ORIGIN) for _ in range(3)] == [second, first, None]
        first.close()
        second.close()

    run(scenario)


def test_take__none_that_was_closed_or_spoke() -> None:
    """What a server says without being asked would be read as an answer."""

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        good, closed, loud = ends.wire(), ends.wire(), ends.wire()
        for wire in (good, closed, loud):
            idle.put(ORIGIN, wire)
        ends.others[1].close()
        ends.others[2].sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert idle.take(ORIGIN) is good
        assert idle.take(ORIGIN) is None
        good.close()

    run(scenario)


def test_idle__expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed without another request."""
    monkeypatch.setattr(module, "_KEPT_S", 0.0)

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        idle.put(ORIGIN, ends.wire())
        await until(lambda: ends.is_closed(0), "it is closed")
        assert idle.take(ORIGIN) is None

    run(scenario)


def test_idle__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed at once."""
    monkeypatch.setattr(module, "_MOST", 2)

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        for n in range(3):
            idle.put(f"https://{n}.example:443", ends.wire())
        assert [ends.is_closed(n) for n in range(3)] == [False, False, True]
        assert idle.take("https://2.example:443") is None

    run(scenario)


def test_allowance__begins_again_with_each_request() -> None:
    """It bounds one exchange, not a connection."""

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        wire = ends.wire()
        for _ in range(100):
            ends.others[0].sendall(b"x" * 4096)
            assert await wire.receive()
            idle.put(ORIGIN, wire)
            assert idle.take(ORIGIN) is wire
        wire.close()

    run(scenario)


def test_take__leaves_a_wire_with_more_than_was_asked_for() -> None:
    """Behind TLS, what was read from the socket already is not taken for the next answer."""

    async def scenario(idle: IdleWires, ends: Ends) -> None:
        wire = TlsWire(ends.wire()._socket, ssl.create_default_context(), "a.example")
        idle.put(ORIGIN, wire)
        assert idle.take(ORIGIN) is wire
        wire._incoming.write(b"more")
        idle.put(ORIGIN, wire)
        assert idle.take(ORIGIN) is None
        assert ends.is_closed(0)

    run(scenario)
