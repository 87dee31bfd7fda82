"""Addresses of names, in bounded time and bounded threads."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from galaxy_notify.channels import resolver as module
from galaxy_notify.channels.dialing import OWN_FAULTS
from galaxy_notify.channels.resolver import LookUpFailed, Resolver, look_up_by_system
from tests.support.wait import HANG_S, until


class NameServer:
    """Answers for each name; those that begin with ``slow`` only when it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, name: str) -> Sequence[str]:
        """Answer as the C library does: in the thread of the caller."""
        self.asked.append(name)
        if name.startswith("slow"):
            self.release.wait(HANG_S)
        if name.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [] if name.startswith("empty") else ["8.8.8.8", "2606:4700::1111"]


def run(scenario: Callable[[NameServer], Awaitable[None]]) -> None:
    """Run a scenario; its slow answers come at the end of it."""
    server = NameServer()
    try:
        asyncio.run(scenario(server))  # type: ignore[arg-type]
    finally:
        server.release.set()


def test_addresses__of_an_address() -> None:
    """Nothing is asked."""

    async def scenario(server: NameServer) -> None:
        assert list(await Resolver(server).addresses("127.0.0.1")) == ["127.0.0.1"]
        assert list(await Resolver(server).addresses("::1")) == ["::1"]
        assert server.asked == []

    run(scenario)


def test_addresses__are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the name is asked again; many at once ask once."""

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        several = [resolver.addresses("a.example") for _ in range(20)]
        for found in await asyncio.gather(*several):
            assert list(found) == ["8.8.8.8", "2606:4700::1111"]
        await resolver.addresses("a.example")
        assert server.asked == ["a.example"]
        monkeypatch.setattr(module, "_FRESH_S", -1.0)
        await resolver.addresses("b.example")
        await resolver.addresses("b.example")
        assert server.asked == ["a.example", "b.example", "b.example"]

    run(scenario)


@pytest.mark.parametrize(
    ("name", "why"), [("unknown.example", "Name or service not known"), ("empty", "no address")]
)
def test_addresses__of_a_name_without(name: str, why: str) -> None:
    """Every caller gets the reason; the next one asks again."""

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        for _ in range(2):
            with pytest.raises(LookUpFailed, match=why):
                await resolver.addresses(name)
        assert server.asked == [name, name]

    run(scenario)


def test_slow_name__is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first callers wait their time, later ones not at all; what comes late is kept."""
    monkeypatch.setattr(module, "_LOOK_UP_S", 0.05)

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        for _ in range(5):
            with pytest.raises(LookUpFailed, match="did not answer"):
                await resolver.addresses("slow.example")
        assert server.asked == ["slow.example"]
        server.release.set()

        async def answered() -> bool:
            try:
                return bool(await resolver.addresses("slow.example"))
            except LookUpFailed:
                return False

        await until(answered, "the late answer is there")
        assert server.asked == ["slow.example"]

    run(scenario)


def test_slow_names__leave_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names known as slow hold half of the threads at most, however many they are."""
    monkeypatch.setattr(module, "_LOOK_UP_S", 0.05)

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server, threads=8)
        for n in range(12):
            resolver._slow[f"slow{n}.example"] = float("inf")
        slow = [resolver.addresses(f"slow{n}.example") for n in range(12)]
        failed = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(each, LookUpFailed) for each in failed)
        assert len(server.asked) == 4
        monkeypatch.setattr(module, "_LOOK_UP_S", HANG_S)
        for n in range(100):
            assert await resolver.addresses(f"{n}.example")
        assert len(server.asked) == 104
        resolver.close()

    run(scenario)


def test_slow_name__of_which_all_callers_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked when its place is free at last."""
    monkeypatch.setattr(module, "_LOOK_UP_S", 0.05)

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server, threads=1)
        for name in ("slow.example", "waiting.example"):
            with pytest.raises(LookUpFailed, match="did not answer"):
                await resolver.addresses(name)
        server.release.set()
        await until(lambda: not resolver._questions, "both questions are over")
        assert server.asked == ["slow.example"]
        assert "waiting.example" not in resolver._slow

    run(scenario)


def test_caller__that_is_cancelled() -> None:
    """The others get their answer."""

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        first, second = (asyncio.create_task(resolver.addresses("slow.example")) for _ in range(2))
        await until(lambda: server.asked, "the name is asked")
        first.cancel()
        server.release.set()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_close__with_look_ups_that_hang() -> None:
    """The loop ends; the threads keep nothing from ending."""

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        caller = asyncio.create_task(resolver.addresses("slow.example"))
        await until(lambda: server.asked, "the name is asked")
        resolver.close()
        with pytest.raises(asyncio.CancelledError):
            await caller

    run(scenario)


def test_names__that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many the oldest goes."""
    monkeypatch.setattr(module, "_MOST_NAMES", 3)

    async def scenario(server: NameServer) -> None:
        resolver = Resolver(server)
        for n in range(5):
            await resolver.addresses(f"{n}.example")
        assert list(resolver._fresh) == ["2.example", "3.example", "4.example"]

    run(scenario)


def test_system__knows_this_machine() -> None:
    """From its hosts file."""
    assert {*look_up_by_system("localhost")} & {"127.0.0.1", "::1"}
    assert look_up_by_system("127.0.0.1") == ["127.0.0.1"]


def test_addresses__without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no more threads says nothing of the name, nor does one without sockets."""

    async def scenario(server: NameServer) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(OSError, match="threads") as raised:
                await Resolver(server).addresses("a.example")
        assert raised.value.errno in OWN_FAULTS

        def full(name: str) -> Sequence[str]:
            raise OSError(errno.EMFILE, "Too many open files")

        with pytest.raises(OSError, match="Too many") as raised:
            await Resolver(full).addresses("a.example")
        assert not isinstance(raised.value, LookUpFailed)
        assert await Resolver(server).addresses("a.example")

    run(scenario)
