"""The consumer of batches through lost replies, kills and outages: nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import redis

from galaxy_notify.gateway import Event
from tests.support.events import (
    KEYS,
    SeenBatches,
    consuming_batches,
    leave_idle,
    number_of,
    pending,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.lossy_link import Link
from tests.support.servers import Server, main_server, running
from tests.support.wait import until

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", [b"EVALSHA", b"XREADGROUP", b"ZMSCORE", b"XCLAIM"])
def test_batches__lost_answers(server: Server, command: bytes) -> None:
    """A lost answer of any call costs no event, and no event is handled twice for it."""
    seen = SeenBatches(1)

    async def scenario() -> None:
        async with Link(server).open() as link, consuming_batches(link.url, seen):
            await until(lambda: pending(client) == 0, "the group is there")
            link.lose_answer_to(command)
            publish(client, 1, 2, 3)
            await until(lambda: link.lost == 1, "an answer is lost")
            await until(lambda: client.xlen(KEYS.parked) == 1, "the poison is parked")
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario())
    assert sorted(set(seen.flat)) == [1, 2, 3]
    assert seen.flat.count(2) == seen.flat.count(3) == 1


def test_batches__lost_between_the_acknowledgement_and_the_next_read(server: Server) -> None:
    """All connections end after each batch: what is read next is not what was handled."""
    seen = SeenBatches()

    async def handler(events: list[Event]) -> None:
        await seen(events)
        client.client_kill_filter(_type="normal", skipme=True)

    async def scenario() -> None:
        async with consuming_batches(server, handler):
            for number in range(20):
                publish(client, 2 * number, 2 * number + 1)
                await until(partial(seen.has, 2 * number + 1), "both are handled")
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario())
    assert seen.flat == list(range(40))


_HANGS = """
import asyncio, sys
from galaxy_notify.gateway import GatewayConsumer
async def handler(events):
    print(len(events), flush=True)
    await asyncio.Event().wait()
async def main():
    async with GatewayConsumer.from_url(sys.argv[1], group="gateway", consumer="dead") as gateway:
        await gateway.run_batches(handler)
asyncio.run(main())
"""


def test_batches__killed_in_a_batch(server: Server) -> None:
    """What a killed consumer had in its batch is delivered again to another one, together once."""
    seen = SeenBatches()

    async def scenario(client: redis.Redis) -> None:
        async with consuming_batches(server, seen):
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with server.client() as client:
        write_deployment(client)
        publish(client, 1, 2, 3)
        process = subprocess.Popen(
            [sys.executable, "-c", _HANGS, server.url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "3\n"
            process.send_signal(signal.SIGKILL)
        assert len(pending_entries(client)) == 3
        leave_idle(client)
        asyncio.run(scenario(client))
    assert seen.numbers == [[1, 2, 3]]
    assert {event.deliveries for event in seen.batches[0]} == {2}


def test_batches__server_restarts_in_a_batch() -> None:
    """A batch that is handled while Redis is away is acknowledged when it is back."""
    began, may_end = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def handler(events: list[Event]) -> None:
        began.set()
        await may_end.wait()
        done.extend(number_of(event) for event in events)

    async def scenario(server: Server) -> None:
        with server.client() as client:
            write_deployment(client)
            publish(client, *range(10))
        async with consuming_batches(server, handler):
            await began.wait()
            await asyncio.to_thread(server.kill)
            may_end.set()
            await asyncio.to_thread(server.start)
            with server.client() as client:
                await until(lambda: unfinished(client) == 0, "everything is acknowledged")
        assert sorted(done) == list(range(10))

    with running(main_server(), appendonly="yes", appendfsync="always") as server:
        asyncio.run(scenario(server))
