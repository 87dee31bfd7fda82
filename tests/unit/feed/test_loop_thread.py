"""A loop in a thread: every call gets its answer, whatever else happens to the thread."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading

import pytest

from galaxy_notify.errors import AlreadyClosed
from galaxy_notify.feed.loop_thread import LoopThread
from tests.support.wait import wait_until


class Worker:
    """Notes what becomes of it; a call ends when it is let go."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.is_closed = False
        self.begun = 0
        self.done = 0
        self.gate = asyncio.Event()

    async def pass_on(self, value: int) -> int:
        if value < 0:
            raise ValueError("below zero")
        return value

    async def wait(self) -> int:
        self.begun += 1
        await self.gate.wait()
        self.done += 1
        return self.done

    async def open_gate(self) -> None:
        self.gate.set()

    async def close(self) -> None:
        self.gate.set()
        self.is_closed = True


@pytest.fixture
def made() -> list[Worker]:
    """Hold the workers that were made."""
    return []


@pytest.fixture
def loop(made: list[Worker]) -> LoopThread[Worker]:
    """Give a thread, which the test closes."""

    def make() -> Worker:
        made.append(Worker())
        return made[-1]

    return LoopThread("Feed", make)


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "galaxy-notify-feed"]


def test_call__returns_and_raises(loop: LoopThread[Worker], made: list[Worker]) -> None:
    """What a call returns or raises is the caller's; one worker serves all threads."""
    assert loop.call(lambda worker: worker.pass_on(7)) == 7
    with pytest.raises(ValueError, match="below zero"):
        loop.call(lambda worker: worker.pass_on(-1))
    found: list[int] = []
    callers = [
        threading.Thread(target=lambda n=n: found.append(loop.call(lambda w: w.pass_on(n))))
        for n in range(20)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(found) == list(range(20))
    assert len(made) == 1
    loop.close()


def test_close__ends_worker_and_thread(loop: LoopThread[Worker], made: list[Worker]) -> None:
    """A call in flight gets its answer; later ones are refused; again does nothing."""
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(loop.call(Worker.wait)))
    caller.start()
    wait_until(lambda: made and made[0].begun, "the call is in flight")
    loop.close()
    caller.join()
    assert answers == [1]
    assert made[0].is_closed
    assert threads() == []
    loop.close()
    with pytest.raises(AlreadyClosed, match="this Feed is closed"):
        loop.call(Worker.wait)


def test_close__before_any_call_starts_nothing(
    loop: LoopThread[Worker], made: list[Worker]
) -> None:
    """Nothing was begun, so nothing ends."""
    loop.close()
    assert (made, threads()) == ([], [])


def test_free__ends_the_thread() -> None:
    """An owner that is freed without a close leaves no thread behind."""
    loop = LoopThread("Feed", Worker)
    loop.call(lambda worker: worker.pass_on(1))
    assert len(threads()) == 1
    del loop
    gc.collect()
    wait_until(lambda: not threads(), "the thread has ended")


def test_own_thread__may_not_wait_for_itself(loop: LoopThread[Worker]) -> None:
    """A call from inside a call is refused: it would wait for ever."""

    async def within(_: Worker) -> None:
        loop.call(lambda worker: worker.pass_on(1))

    with pytest.raises(RuntimeError, match="from inside one of its own calls"):
        loop.call(within)
    loop.close()


def test_interrupt__leaves_the_call_in_flight() -> None:
    """Ctrl-C reaches the caller; what it called is completed, and the thread goes on."""
    program = """
import signal, threading
from tests.unit.feed.test_loop_thread import LoopThread, Worker
loop = LoopThread("Feed", Worker)
worker = []
def interrupt():
    while not (worker and worker[0].begun):
        pass
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
async def wait(made):
    worker.append(made)
    return await made.wait()
threading.Thread(target=interrupt, daemon=True).start()
try:
    loop.call(wait)
except KeyboardInterrupt:
    print("interrupted", worker[0].done)
loop.call(Worker.open_gate)
loop.close()
print(worker[0].done)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["interrupted", "0", "1"]


def test_end_of_process__closes_the_worker() -> None:
    """A program that forgets `close` still ends, behind the close of the worker."""
    program = """
from tests.unit.feed.test_loop_thread import LoopThread, Worker
class Loud(Worker):
    async def close(self):
        print("closed", flush=True)
loop = LoopThread("Feed", Loud)
print(loop.call(lambda worker: worker.pass_on(3)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["3", "closed"], "")


def test_fork__begins_again_in_the_child(loop: LoopThread[Worker], made: list[Worker]) -> None:
    """The child makes a worker of its own, and that of the parent is not touched."""
    assert loop.call(lambda worker: worker.pass_on(1)) == 1
    if not (child := os.fork()):
        is_own = loop.call(lambda worker: worker.pass_on(2)) == 2 and len(made) == 2
        loop.close()
        os._exit(0 if is_own and made[1].is_closed and not made[0].is_closed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.call(lambda worker: worker.pass_on(3)) == 3
    assert [worker.is_closed for worker in made] == [False]
    loop.close()
