"""Threads that nothing waits for: bounded, and no reason for a process to stay."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from itertools import repeat

import pytest

from galaxy_notify.channels.daemon_threads import DaemonThreads
from tests.support.program import ROOT
from tests.support.wait import until, wait_until

_HANGING = """
import asyncio, threading
from galaxy_notify.channels.daemon_threads import DaemonThreads

async def main():
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    def hang():
        loop.call_soon_threadsafe(begun.set)
        threading.Event().wait()
    assert DaemonThreads("hanging", 1).start(hang) is not None
    await begun.wait()

asyncio.run(main())
print("ended", flush=True)
"""


def test_start__runs_calls_beside_each_other_up_to_a_number() -> None:
    """Each has its result; while as many run as may, there is no other one."""

    async def scenario() -> None:
        threads, end = DaemonThreads[int]("t", 2), threading.Event()

        def call(number: int) -> int:
            end.wait()
            return number

        first, second = (threads.start(lambda number=number: call(number)) for number in (1, 2))  # type: ignore[misc]
        assert first is not None
        assert second is not None
        assert threads.start(lambda: 3) is None
        end.set()
        assert [await first, await second] == [1, 2]
        for number in (3, 4, 5):
            future = threads.start(lambda number=number: number)  # type: ignore[misc]
            assert future is not None
            assert await future == number

    asyncio.run(scenario())


def test_start__keeps_the_thread_of_a_caller_that_has_gone() -> None:
    """Who waits no longer has given back nothing: the thread is in use until the call ends."""

    async def scenario() -> None:
        threads, end = DaemonThreads[bool]("t", 1), threading.Event()
        future = threads.start(end.wait)
        assert future is not None
        future.cancel()
        assert threads.start(bool) is None
        end.set()
        # Each try that finds the thread in use begins nothing.
        await until(lambda: threads.start(bool) is not None, "the thread is free")

    asyncio.run(scenario())


def test_call__may_end_after_its_loop() -> None:
    """Its result is for nobody then; no error is left behind."""
    end, running = threading.Event(), list[threading.Thread]()

    async def scenario() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def call() -> None:
            running.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            end.wait()

        assert DaemonThreads[None]("t", 1).start(call) is not None
        await begun.wait()

    asyncio.run(scenario())
    end.set()
    wait_until(lambda: not running[0].is_alive(), "the thread has ended")


def test_start__names_a_machine_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of this machine, and no thread counts as in use."""
    refusals = repeat(RuntimeError("can't start new thread"))

    def refuse(_: threading.Thread) -> None:
        raise next(refusals)

    async def scenario() -> None:
        threads = DaemonThreads[int]("t", 1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for _ in range(2):
                with pytest.raises(OSError, match="new thread"):
                    threads.start(lambda: 1)
        future = threads.start(lambda: 1)
        assert future is not None
        assert await future == 1

    asyncio.run(scenario())


def test_process__ends_beside_a_call_that_hangs() -> None:
    """Neither the loop nor the interpreter waits for it."""
    done = subprocess.run(
        [sys.executable, "-c", _HANGING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
