"""The consumer through outages: it goes on, loses nothing, and repeats nothing it had finished."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.support.events import (
    KEYS,
    Seen,
    consuming,
    pending,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.lossy_link import Link
from tests.support.servers import Server, main_server, running, servers_found, servers_of_run
from tests.support.wait import until


@pytest.mark.parametrize("command", [b"EVALSHA", b"XREADGROUP", b"XCLAIM", b"XPENDING"])
def test_consumer__lost_answers(server: Server, command: bytes) -> None:
    """A lost answer of any call costs no event, and finishes or parks nothing twice."""
    seen = Seen(1)

    async def scenario() -> None:
        async with Link(server).open() as link, consuming(link.url, seen):
            await until(lambda: pending(client) == 0, "the group is there")
            link.lose_answer_to(command)
            publish(client, 1, 2, 3)
            await until(lambda: link.lost == 1, "an answer is lost")
            await until(lambda: client.xlen(KEYS.parked) == 1, "the poison is parked")
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario())
        assert client.xlen(KEYS.parked) == 1
    assert sorted(set(seen.numbers)) == [1, 2, 3]
    assert seen.numbers.count(2) == seen.numbers.count(3) == 1


@pytest.mark.parametrize("name", list(servers_of_run()))
def test_consumer__server_restarts(name: str) -> None:
    """The consumer goes on after a crash of a server that keeps its data."""
    seen = Seen()

    async def scenario(server: Server) -> None:
        with server.client() as client:
            write_deployment(client)
            publish(client, *range(10))
        async with consuming(server, seen):
            await until(lambda: seen.has(9), "the events before the crash")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            with server.client() as client:
                publish(client, 10)
                await until(lambda: seen.has(10), "the event after the crash")
                await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    binary = servers_found()[name]
    with running(binary, appendonly="yes") as server:
        asyncio.run(scenario(server))
    assert seen.numbers == list(range(11))


def test_consumer__outage_is_told_at_its_edges() -> None:
    """An outage is two lines of the log: when it began and when it was over."""
    seen = Seen()

    async def scenario(server: Server) -> None:
        with server.client() as client:
            write_deployment(client, shards=3)
        async with consuming(server, seen):
            await until(lambda: events().count("consumer started") == 1, "it runs")
            await asyncio.to_thread(server.kill)
            await until(lambda: "redis unavailable" in events(), "the outage is noticed")
            await asyncio.to_thread(server.start)
            await until(lambda: "redis available again" in events(), "the outage is over")

    with running(main_server(), appendonly="yes") as server, capture_logs() as logs:

        def events() -> list[str]:
            return [str(log["event"]) for log in logs]

        asyncio.run(scenario(server))
    codes = {log["code"] for log in logs if log["event"] == "redis unavailable"}
    assert events().count("redis unavailable") == len(codes)
    assert events().count("redis available again") == 1


def test_consumer__stops_during_an_outage() -> None:
    """A consumer stops in time though Redis is away."""
    seen = Seen()

    async def scenario(server: Server) -> None:
        with server.client() as client:
            write_deployment(client)
            publish(client, 1)
        async with consuming(server, seen):
            await until(lambda: seen.has(1), "the event is handled")
            # A call that waits for Redis would go on: nobody starts it again.
            await asyncio.to_thread(server.kill)

    with running(main_server()) as server:
        asyncio.run(scenario(server))


@pytest.mark.usefixtures("usual_timeout")
def test_consumer__frozen_server(server: Server) -> None:
    """A server that answers too late delays events, and loses none."""
    seen = Seen()

    async def scenario() -> None:
        async with consuming(server, seen):
            publish(client, 1)
            await until(lambda: seen.has(1), "the first event")
            publish(client, 2)
            server.pause()
            try:
                await until(lambda: any(log.get("code") == "timeout" for log in logs), "a timeout")
            finally:
                server.resume()
            await until(lambda: seen.has(2) and unfinished(client) == 0, "the second event")

    with server.client() as client, capture_logs() as logs:
        write_deployment(client)
        asyncio.run(scenario())
    assert sorted(seen.numbers) == [1, 2]
