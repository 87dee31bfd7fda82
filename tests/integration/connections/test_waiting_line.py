"""More callers than connections: they wait in line, and only Redis being away ends that."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis

from galaxy_notify.errors import Unavailable
from galaxy_notify.http.responses import redis_faults
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.redis_client import async_pools, connection, pools
from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.web.problems import Problem
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.wait import HANG_S, until, wait_until

#: One call after another over one connection: longer together than a call may take, which is long
#: enough for a machine that stands still.
_CALLERS, _BLOCKS_S, _MAY_TAKE_S = 15, 0.3, 4.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have those who wait look often, so that they give up soon."""
    for module in (pools, async_pools):
        monkeypatch.setattr(module, "LOOK_S", 0.02)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call end because the machine is slow: what is asked is who gets a turn."""
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", HANG_S)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", HANG_S)
    for module in (pools, async_pools):
        monkeypatch.setattr(module, "LOOKS", 1000)


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the URL of a server that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"


def test_async_pool__serves_all_in_order_for_as_long_as_redis_answers(server: Server) -> None:
    """However long the line is, nobody is sent away from a server that answers."""
    served: list[int] = []

    async def run() -> None:
        client = async_client(server.url, connections=1, socket_timeout=_MAY_TAKE_S)

        async def call(place: int) -> None:
            assert await client.blpop(["nothing"], _BLOCKS_S) is None
            served.append(place)

        await asyncio.gather(*map(call, range(_CALLERS)))
        await client.aclose()

    asyncio.run(run())
    assert served == list(range(_CALLERS))


def _waiting(pool: Any, callers: int) -> bool:
    return len(pool._line) == callers


def test_pool__serves_all_in_order_for_as_long_as_redis_answers(server: Server) -> None:
    """The same for threads."""
    client = sync_client(server.url, connections=1, socket_timeout=_MAY_TAKE_S)
    pool: Any = client.connection_pool
    served: list[int] = []
    held = pool.get_connection()

    def call(place: int) -> None:
        assert client.blpop(["nothing"], _BLOCKS_S) is None
        served.append(place)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(_CALLERS)]
    for place, thread in enumerate(threads, 1):
        thread.start()
        wait_until(partial(_waiting, pool, place), "it waits in line")
    pool.put(held)
    for thread in threads:
        thread.join()
    assert served == list(range(_CALLERS))
    client.close()


@pytest.mark.usefixtures("patient")
def test_notifier__has_a_turn_for_each_of_thousands(server: Server, deploy: Deploy) -> None:
    """Thousands of calls at once are accepted, over the few connections that there are."""
    deployment = deploy(server)
    before = deployment.client.info("stats")["total_connections_received"]

    async def run() -> set[str]:
        async with AsyncNotifier.from_url(server.url) as notifier:
            receipts = await asyncio.gather(*(notifier.accept(PLAIN) for _ in range(3000)))
            return {receipt.status for receipt in receipts}

    assert asyncio.run(run()) == {"accepted"}
    assert deployment.total("accepted") == 3000
    assert deployment.client.info("stats")["total_connections_received"] <= before + 8


@pytest.mark.usefixtures("patient")
def test_notifier__has_a_turn_for_each_of_many_threads(server: Server, deploy: Deploy) -> None:
    """The same for 200 threads on one notifier."""
    deployment = deploy(server)
    before = deployment.client.info("stats")["total_connections_received"]

    def accept(_: int) -> set[str]:
        return {deployment.notifier.accept(PLAIN).status for _ in range(5)}

    with ThreadPoolExecutor(200) as threads:
        assert set().union(*threads.map(accept, range(200))) == {"accepted"}
    assert deployment.client.info("stats")["total_connections_received"] <= before + 8


def test_notifier__is_busy_when_too_many_wait(server: Server, deploy: Deploy) -> None:
    """One more than may wait is refused at once, is not sent, and says which setting it is."""
    deploy(server)
    with Notifier.from_url(server.url, max_waiting=1) as notifier:
        notifier.accept(PLAIN)
        pool: Any = notifier._client._client.connection_pool
        lent = [pool.get_connection() for _ in range(8)]
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(notifier.accept, PLAIN)
            wait_until(lambda: pool._line, "it waits in line")
            with pytest.raises(Unavailable, match=r"^busy: .*redis\.max_waiting"):
                notifier.accept(PLAIN)
            for connection in lent:
                pool.put(connection)
            assert waiting.result().status == "accepted"


def test_async_notifier__is_busy_when_too_many_wait(server: Server, deploy: Deploy) -> None:
    """The same for tasks; whoever gives up waiting makes room."""
    deploy(server)

    async def run() -> None:
        async with AsyncNotifier.from_url(server.url, max_waiting=1) as notifier:
            await notifier.accept(PLAIN)
            pool: Any = notifier._client._client.connection_pool
            lent = [await pool.get_connection() for _ in range(8)]
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(notifier.accept(PLAIN), 0.01)
            waiting = asyncio.ensure_future(notifier.accept(PLAIN))
            await until(lambda: pool._shares[asyncio.get_running_loop()]._line, "it waits in line")
            with pytest.raises(Unavailable, match=r"^busy: .*redis\.max_waiting"):
                await notifier.accept(PLAIN)
            for connection in lent:
                pool.put(connection)
            assert (await waiting).status == "accepted"

    asyncio.run(run())


class _Counted(asyncio.Future[Any]):
    """Counts how often one is compared with another."""

    compared = 0
    __hash__ = asyncio.Future.__hash__

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return self is other


def test_async_pool__leaving_the_line_costs_nothing_however_long_it_is(server: Server) -> None:
    """A group of tasks that is cancelled, in whatever order, does not hold up the event loop."""

    async def run() -> int:
        loop: Any = asyncio.get_running_loop()
        client = async_client(server.url, connections=1)
        pool: Any = client.connection_pool
        held = await pool.get_connection()
        loop.create_future = lambda: _Counted(loop=loop)
        waiting = [asyncio.ensure_future(client.ping()) for _ in range(300)]
        await asyncio.sleep(0)
        del loop.create_future
        for task in reversed(waiting):
            task.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await pool.release(held)
        await client.aclose()
        return sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)

    assert asyncio.run(run()) == 300
    assert _Counted.compared < 300


def test_pool__connects_again_what_another_thread_closes(server: Server) -> None:
    """A connection that is closed just when it is lent is no defect: it is made again."""
    client = sync_client(server.url, connections=1)
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    pool.put(connection)
    connection._parser._sock = None  # as it is in the middle of its closing
    assert client.ping() is True
    client.close()


def test_http__says_that_it_is_busy() -> None:
    """A long line is a problem of ours, and no outage of Redis."""
    fault = pools.busy(5)
    with pytest.raises(Problem) as raised, redis_faults():
        raise failed_call(fault)
    assert (raised.value.kind, raised.value.status) == ("busy", 503)
    assert "redis is away" not in raised.value.detail


@pytest.mark.usefixtures("impatient")
def test_pool__ends_the_wait_where_redis_answers_nothing(silent: str) -> None:
    """Nobody waits for ever for a server that takes connections and then says nothing."""
    client = sync_client(silent, connections=2, socket_timeout=0.4)

    def call(_: int) -> BaseException | None:
        with pytest.raises(redis.TimeoutError) as raised:
            client.ping()
        return raised.value

    with ThreadPoolExecutor(30) as threads:
        errors = list(threads.map(call, range(30)))
    assert any("no free connection" in str(error) for error in errors)
    client.close()


@pytest.mark.usefixtures("impatient")
def test_async_pool__ends_the_wait_where_redis_answers_nothing(silent: str) -> None:
    """The same for tasks."""

    async def run() -> list[Any]:
        client = async_client(silent, connections=2, socket_timeout=0.4)
        errors = await asyncio.gather(*(client.ping() for _ in range(30)), return_exceptions=True)
        await client.aclose()
        return errors

    errors = asyncio.run(run())
    assert {type(error) for error in errors} == {redis.TimeoutError}
    assert any("no free connection" in str(error) for error in errors)
