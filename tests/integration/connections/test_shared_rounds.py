"""Tasks share round trips, and nothing of their replies or faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis

from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.shared_rounds import SharedRounds
from galaxy_notify.redis_state.calls import channel_pause
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import settings_from
from tests.support.command import NOWHERE
from tests.support.servers import Server

TASKS = 12


def shared(url: str, use: Callable[[SharedRounds], Awaitable[Any]]) -> Any:
    """Use shared round trips in a loop of their own."""

    async def used() -> Any:
        client = open_async(settings_from({"redis": {"url": url}}))
        try:
            return await use(SharedRounds(client))
        finally:
            await client.aclose()

    return asyncio.run(used())


def echo(text: str) -> Command:
    """Return a call that is answered with its text."""
    return Command(["ECHO", text])


def connected(client: redis.Redis) -> int:
    """Return how many connections the server has seen so far."""
    return int(client.info("stats")["total_connections_received"])


def test_tasks_of_one_turn__share_a_round_trip(server: Server) -> None:
    """Each gets the replies to its own calls, over a single connection."""

    async def use(rounds: SharedRounds) -> Any:
        asked = [[echo(f"{task}.{call}") for call in range(task % 3 + 1)] for task in range(TASKS)]
        return await asyncio.gather(*map(rounds.replies, asked))

    with server.client() as admin:
        before = connected(admin)
        replies = shared(server.url, use)
        assert connected(admin) - before == 1
    assert replies == [
        [f"{task}.{call}".encode() for call in range(task % 3 + 1)] for task in range(TASKS)
    ]


def test_task_of_a_later_turn__waits_for_no_other(server: Server) -> None:
    """It has a round trip of its own while the first one is not answered."""
    blocked = Command(["BLPOP", "shared-rounds", "0"])

    async def use(rounds: SharedRounds) -> Any:
        waiting = asyncio.create_task(rounds.replies([blocked]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        later = await rounds.replies([Command(["RPUSH", "shared-rounds", "x"])])
        return [later, await waiting]

    assert shared(server.url, use) == [[1], [[b"shared-rounds", b"x"]]]


def test_refused_call__is_a_fault_in_its_own_place(server: Server) -> None:
    """Others of the same round trip are answered."""
    refused = Command(["INCRBY", "shared-rounds", "x"])

    async def use(rounds: SharedRounds) -> Any:
        return await asyncio.gather(
            rounds.replies([echo("a"), refused]),
            rounds.replies([refused]),
            rounds.replies([echo("b")]),
        )

    first, second, third = shared(server.url, use)
    assert first[0] == b"a"
    assert isinstance(first[1], RedisFault)
    assert isinstance(second[0], RedisFault)
    assert third == [b"b"]


def test_unknown_scripts__are_sent_once_for_all(server: Server) -> None:
    """After a restart of the server, for instance."""
    keys = Keys("gn", 0)
    calls = [channel_pause(keys, f"channel-{number}") for number in range(TASKS)]

    async def use(rounds: SharedRounds) -> Any:
        return await asyncio.gather(*(rounds.replies([call]) for call in calls))

    with server.client() as admin:
        admin.script_flush()
    found = shared(server.url, use)
    assert not any(isinstance(reply, RedisFault) for (reply,) in found)


def test_confirmed_calls__do_not_hold_up_the_others(server: Server) -> None:
    """What waits for replicas has a round trip of its own, and only its faults."""
    confirm = Confirmation.of("replicas:1")
    written = channel_pause(Keys("gn", 0), "push")

    async def use(rounds: SharedRounds) -> Any:
        return await asyncio.gather(rounds.replies([written], confirm), rounds.replies([echo("a")]))

    confirmed, plain = shared(server.url, use)
    assert isinstance(confirmed[0], RedisFault)
    assert plain == [b"a"]


def test_server_away__each_task_has_the_fault() -> None:
    """Nobody waits for a round trip that was never made."""

    async def use(rounds: SharedRounds) -> Any:
        asked = (rounds.replies([echo("a")]) for _ in range(TASKS))
        return await asyncio.gather(*asked, return_exceptions=True)

    faults = shared(NOWHERE, use)
    assert len(faults) == TASKS
    assert all(isinstance(fault, RedisFault) for fault in faults)
