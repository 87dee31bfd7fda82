"""The read that is sent ahead, through lost replies, outages, defects and kills."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from galaxy_notify.gateway import shard
from galaxy_notify.gateway.shard import ShardReader
from tests.support.events import (
    consuming,
    leave_idle,
    pending,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.holding import BOTH, TENS, Consuming, Holding, last_read, until_read_ahead
from tests.support.lossy_link import Link
from tests.support.servers import Server, main_server, running
from tests.support.wait import HANG_S, until, wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _every_read_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "_QUICK_S", HANG_S)


@BOTH
def test_read_ahead__loses_its_answer(server: Server, consume: Consuming) -> None:
    """Entries whose reply was lost while a handler ran come again, and nothing comes twice."""

    async def scenario(client: redis.Redis) -> None:
        async with Link(server).open() as link:

            def lose_next_read(number: int) -> None:
                if number == 19:  # the read that is sent when the delivery of 20 begins
                    link.lose_answer_to(b"XREADGROUP")

            handler = Holding(20, lose_next_read)
            async with consume(link.url, handler, options=TENS):
                await handler.holds.wait()
                await until(lambda: link.lost == 1, "the read ahead loses its answer")
                handler.may_go.set()
                await until(lambda: unfinished(client) == 0 and len(handler.numbers) >= 60, "all")
        assert sorted(handler.numbers) == list(range(60))

    with server.client() as client:
        write_deployment(client)
        publish(client, *range(60))
        asyncio.run(scenario(client))


@BOTH
def test_read_ahead__server_restarts(consume: Consuming) -> None:
    """A server that dies during the read and comes back costs nothing."""

    async def scenario(server: Server) -> None:
        handler = Holding(10)
        with server.client() as client:
            write_deployment(client)
            ids = publish(client, *range(30))
        async with consume(server, handler, options=TENS):
            with server.client() as client:
                await until_read_ahead(client, handler, ids[29])
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            handler.may_go.set()
            with server.client() as client:
                publish(client, *range(30, 60))
                await until(lambda: unfinished(client) == 0 and len(handler.numbers) >= 60, "all")
        assert sorted(handler.numbers) == list(range(60))

    with running(main_server(), appendonly="yes", appendfsync="always") as server:
        asyncio.run(scenario(server))


@BOTH
@pytest.mark.parametrize("published", [20, 30], ids=["still-reads", "has-read"])
def test_read_ahead__stop_during_an_outage(consume: Consuming, published: int) -> None:
    """A stop without Redis leaves no task and no error behind."""
    errors: list[dict[str, object]] = []

    async def scenario(server: Server) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        handler = Holding(10)
        with server.client() as client:
            write_deployment(client)
            ids = publish(client, *range(published))
        async with consume(server, handler, options=TENS) as gateway:
            with server.client() as client:
                await until_read_ahead(client, handler, ids[-1])
            await asyncio.to_thread(server.kill)
            gateway.stop()
            handler.may_go.set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with running(main_server()) as server:
        asyncio.run(scenario(server))
    assert errors == []


def test_read_ahead__defect_beside_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sweep breaks, the run ends with its error, and what was read ahead is released."""
    sweep_once, breaks = ShardReader.sweep_once, asyncio.Event()

    async def broken(reader: ShardReader) -> int:
        if breaks.is_set():
            handler.may_go.set()
            raise ZeroDivisionError
        return await sweep_once(reader)

    async def scenario(client: redis.Redis) -> None:
        async with consuming(server, handler, options=TENS):
            await until_read_ahead(client, handler, ids[29])
            breaks.set()
            await handler.may_go.wait()

    monkeypatch.setattr(ShardReader, "sweep_once", broken)
    with server.client() as client:
        write_deployment(client)
        ids, handler = publish(client, *range(30)), Holding(10)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(scenario(client))
        left = pending_entries(client)
    assert {entry["message_id"].decode() for entry in left} >= set(ids[20:])
    assert min(entry["time_since_delivered"] for entry in left) >= 600_000


def test_read_ahead__defect_of_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that breaks ends the run with its error, after the delivery is acknowledged."""
    reads = 0
    read_entries = ShardReader._read_entries

    async def broken(reader: ShardReader) -> shard._Read:
        nonlocal reads
        reads += 1
        if reads == 3:  # the first one that is sent ahead
            raise ZeroDivisionError
        return await read_entries(reader)

    async def scenario() -> None:
        async with consuming(server, handler, options=TENS) as gateway:
            await handler.holds.wait()
            gateway.stop()
            handler.may_go.set()

    monkeypatch.setattr(ShardReader, "_read_entries", broken)
    with server.client() as client:
        write_deployment(client)
        publish(client, *range(30))
        handler = Holding(10)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(scenario())
        assert handler.numbers == list(range(11))
        assert pending(client) == 9


_HANGS = """
import asyncio, sys
from galaxy_notify.gateway import ConsumerOptions, GatewayConsumer, shard
shard._QUICK_S = 300.0
async def handler(given):
    for event in given if isinstance(given, list) else [given]:
        number = int(event.event_id[:32], 16)
        if number == 10:
            print("holds", flush=True)
            await asyncio.Event().wait()
async def main():
    options = ConsumerOptions(batch=10, batch_max=10)
    async with GatewayConsumer.from_url(
        sys.argv[1], group="gateway", consumer="dead", options=options
    ) as gateway:
        await getattr(gateway, sys.argv[2])(handler)
asyncio.run(main())
"""


@pytest.mark.parametrize("run", ["run", "run_batches"])
def test_read_ahead__killed(server: Server, run: str) -> None:
    """What was read ahead never was with the handler: a kill repeats only what was."""
    handler = Holding(-1)

    async def scenario(client: redis.Redis) -> None:
        leave_idle(client)
        async with consuming(server, handler):
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with server.client() as client:
        write_deployment(client)
        ids = publish(client, *range(30))
        process = subprocess.Popen(
            [sys.executable, "-c", _HANGS, server.url, run],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            wait_until(lambda: last_read(client) == ids[29], "the rest is read ahead")
            wait_until(lambda: pending(client) == 20, "the first are acknowledged")
            process.send_signal(signal.SIGKILL)
        asyncio.run(scenario(client))
    # 10 was with the handler, in a batch with those up to 19; none of the first ten comes again.
    assert sorted(handler.numbers) == list(range(10, 30))
    assert handler.deliveries == {2}
