"""Opening a connection to one of several addresses."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from galaxy_notify.channels import dialing
from galaxy_notify.channels.dialing import Unreachable, dial
from galaxy_notify.channels.guard import Blocked, Guard

LOOPBACK = Guard(["127.0.0.0/8", "::1/128"])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on 127.0.0.2."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        yield listening


def dialed(addresses: list[str], port: int, guard: Guard = LOOPBACK) -> str:
    """Return the address that was connected to."""

    async def scenario() -> str:
        with await dial(guard, addresses, port) as made:
            assert not made.getblocking()
            return str(made.getpeername()[0])

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2"],
        ["127.0.0.3", "127.0.0.2"],
        ["127.0.0.3", "127.0.0.4", "127.0.0.2", "127.0.0.5"],
        ["::ffff:127.0.0.3", "127.0.0.3", "::ffff:127.0.0.2"],
        ["10.0.0.1", "127.0.0.2", "fd00::1"],
    ],
)
def test_dial__finds_the_one_that_answers(listener: socket.socket, addresses: list[str]) -> None:
    """Those that refuse, and those that are not allowed, are passed over."""
    assert dialed(addresses, listener.getsockname()[1]) == "127.0.0.2"


@pytest.mark.parametrize("addresses", [["127.0.0.3"], ["127.0.0.3", "127.0.0.4", "10.0.0.1"]])
def test_dial__finds_none(listener: socket.socket, addresses: list[str]) -> None:
    """The text has the reason, and none of the addresses."""
    with pytest.raises(Unreachable) as failed:
        dialed(addresses, listener.getsockname()[1])
    assert str(failed.value) == "Connection refused"


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1"], ["10.0.0.1", "::1", "not an address"]])
def test_dial__is_allowed_none(addresses: list[str]) -> None:
    """No socket is made."""
    with pytest.raises(Blocked):
        dialed(addresses, 443, Guard())


def test_dial__tries_the_next_beside_one_that_hangs(listener: socket.socket) -> None:
    """An address without an answer costs a moment, not the attempt."""
    port = listener.getsockname()[1]
    full = socket.create_server(("127.0.0.3", port), backlog=0)
    with full, socket.create_connection(("127.0.0.3", port)):
        assert dialed(["127.0.0.3", "127.0.0.2"], port) == "127.0.0.2"


def test_dial__that_is_cancelled_leaves_no_socket(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller whose time is over has nothing to close."""
    made: list[socket.socket] = []
    new_socket = Guard.new_socket

    def noted(guard: Guard, address: str, port: int) -> tuple[socket.socket, tuple[str, int]]:
        found = new_socket(guard, address, port)
        made.append(found[0])
        return found

    monkeypatch.setattr(Guard, "new_socket", noted)
    monkeypatch.setattr(dialing, "_NEXT_AFTER_S", 0.01)

    async def scenario(addresses: list[str]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dial(LOOPBACK, addresses, port)

    port = listener.getsockname()[1]
    full = [socket.create_server((f"127.0.0.{n}", port), backlog=0) for n in (3, 4)]
    filling = [socket.create_connection((f"127.0.0.{n}", port)) for n in (3, 4)]
    for addresses in (["127.0.0.3"], ["127.0.0.3", "127.0.0.4"]):
        asyncio.run(scenario(addresses))
    assert [each.fileno() for each in made] == [-1, -1, -1]
    for each in (*full, *filling):
        each.close()


@pytest.mark.parametrize("addresses", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]])
def test_dial__without_sockets(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's fault is raised as it is."""

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Guard, "new_socket", full)
    with pytest.raises(OSError, match="Too many open files") as failed:
        dialed(addresses, 443)
    assert failed.value.errno == errno.EMFILE


def test_order__alternates_between_families() -> None:
    """Beginning with the family that the resolver put first; eight at most."""
    allowed = dialing._allowed
    four, six = [f"8.8.8.{n}" for n in range(9)], [f"2606::{n}" for n in range(1, 9)]
    assert allowed(Guard(), four[:2] + six[:2]) == ["8.8.8.0", "2606::1", "8.8.8.1", "2606::2"]
    assert allowed(Guard(), six[:1] + four[:2]) == ["2606::1", "8.8.8.0", "8.8.8.1"]
    assert len(allowed(Guard(), four + six)) == 8
    assert allowed(Guard(), ["8.8.8.8", "8.8.8.8", "10.0.0.1"]) == ["8.8.8.8"]
