"""Replies whose first byte a link has changed into that of any other kind of reply: row 22."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
import redis.asyncio

from galaxy_notify.errors import CallFailed
from galaxy_notify.fsck.faults import Looked, RepairScope
from galaxy_notify.fsck.shard import ShardCheck
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.publishing.state_check import REPAIRED
from galaxy_notify.redis_client import connection
from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow, run_flow_sync
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_inspect.gauges import read_gauges
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.group import GroupMember, MarkLimits, Parking
from galaxy_notify.redis_state.group_report import group_report_async
from galaxy_notify.redis_state.intents import IntentMember, Keeping, Reject
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.redis_state.joining import (
    check_durability,
    join_deployment,
)
from galaxy_notify.redis_state.keys import IntentKeys
from galaxy_notify.redis_state.settlement import Release, Settlement
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.store import Store
from tests.faults.support.faulty_proxy import Trouble, faulty
from tests.properties.hostile.planting import KEYS, plant
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import Server

pytestmark = pytest.mark.extended

#: The bytes with which replies of RESP2 and RESP3 begin, and one with which none does.
KINDS = b"+-:$*_#,(!=%~>|?"
LIMITS = leases.ClaimLimits(members=8, ttl_ms=1000, bytes=1 << 20, record_bytes=1 << 20, hold_at=0)
#: More round trips than any of the calls makes, with those that open its connection.
_TRIPS = 9
#: How long a reply is waited for that never ends.
_PATIENCE_S = 0.05
_LONG_S = 4.0

Client = redis.asyncio.Redis


async def _claim(client: Client) -> None:
    await _store(client).claim("push", "token", LIMITS)


async def _beat(client: Client) -> None:
    await _store(client).identify("worker", {"host": "here"}, 1)


async def _rouse(client: Client) -> None:
    await _store(client).notify_channels(["push"])


async def _join(client: Client) -> None:
    await run_flow(client, join_deployment("gn", SharedSettings(), lead=True))


async def _tidy_up(client: Client) -> None:
    store = JanitorStore(client, KEYS, SharedSettings())
    await store.take_lock("janitor")
    await store.trim(1)
    await store.shorten_leases("push")
    await store.assert_meta()
    await store.forget_workers()


async def _measure(client: Client) -> None:
    await read_gauges(client, KEYS, ["push"])


async def _consume(client: Client) -> None:
    member = GroupMember(client, KEYS, "group", "consumer")
    await member.join()
    for entry in await member.read(1, 1):
        waiting, _ = await member.waiting(0, 0, 1)
        await member.take(waiting[0], 0)
        await member.exists(entry.stream_id)
        await member.seen(["event"])
        await member.finish({entry.stream_id: "event"}, MarkLimits(1000, 10))
        await member.park(Parking(entry.stream_id, 1, "reason"), 10)


async def _check(client: Client) -> None:
    scope = RepairScope("janitor", fix=True, codes=REPAIRED)
    check = ShardCheck(KEYS, SharedSettings(), scope, lambda _: None, Looked())
    for page in check.pages():
        await JanitorStore(client, KEYS, SharedSettings()).check(page())


async def _confirm(client: Client) -> None:
    confirm = Confirmation.of("replicas:1")
    await check_durability(client, KEYS, confirm)
    settlement = Settlement()
    settlement.add(Release(b"x/push:u"))
    await Store(client, KEYS, lambda *_: None, confirm).settle("push", "token", settlement)


async def _report(client: Client) -> None:
    await group_report_async(client, KEYS)


async def _take_in(client: Client) -> None:
    member = IntentMember(client, IntentKeys("intents"), "group", "reader")
    await member.join()
    for entry in await member.read(1, 1):
        await member.keep([entry.stream_id])
        waiting, _ = await member.waiting(0, 0, 1)
        await member.claim(waiting[0], 0)
        await member.begin(waiting[0])
        reject = Reject(entry.stream_id, "invalid", "type", "missing", 1)
        await member.settle([entry.stream_id], [reject], Keeping(100, 10))
    await member.forget()


def _store(client: Client) -> Store:
    return Store(client, KEYS, lambda *_: None)


@pytest.mark.parametrize(
    "call",
    [
        *(_claim, _beat, _rouse, _join, _tidy_up, _check, _measure, _confirm),
        *(_consume, _report, _take_in),
    ],
    ids=lambda call: call.__name__,
)
def test_row22__any_kind_of_reply(
    server: Server, call: Callable[[Client], Awaitable[None]]
) -> None:
    """A call comes to its end or to a fault, and to nothing else."""

    async def ask(url: str) -> None:
        client = async_client(url, socket_timeout=_PATIENCE_S)
        with suppress(RedisFault):
            await call(client)
        await client.aclose()

    for trouble in _troubles():
        _prepare(server)
        with faulty(server.socket, Random(1), trouble) as proxy:
            asyncio.run(ask(proxy.url))


def test_row22__any_kind_of_reply_to_a_producer(server: Server) -> None:
    """The same with the client that producers and operators use."""
    claim = leases.route_claim(KEYS, "push", "token", LIMITS, alone=False, now=None)
    for trouble in _troubles():
        _prepare(server)
        with (
            faulty(server.socket, Random(1), trouble) as proxy,
            sync_client(proxy.url, socket_timeout=_PATIENCE_S) as client,
            suppress(RedisFault),
        ):
            run_flow_sync(client, join_deployment("gn", SharedSettings()))
            run_sync(client, claim)


def test_row22__any_kind_of_reply_to_a_change(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accept, reschedule and cancel tell what they do not know as unavailable."""
    found_deployment(server.url)
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", _PATIENCE_S)
    for trouble in _troubles():
        with (
            faulty(server.socket, Random(1), trouble) as proxy,
            Notifier.from_url(proxy.url) as notifier,
            suppress(CallFailed),
        ):
            made = notifier.accept(PLAIN).notification_id or ""
            notifier.reschedule(made, "2099-01-01T00:00:00Z")
            notifier.cancel(made)


@pytest.mark.parametrize("head", [b"-7", b"--1", b":7", b"(7", b",7", b"%7", b">7", b"#t", b"!1"])
def test_row22__rest_of_a_reply_answers_no_other_call(head: bytes) -> None:
    """Where the head of a reply is garbled, its rest comes to nobody, however late it comes."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        rest = b""
        with suppress(ConnectionError):
            while request := await reader.read(1 << 16):
                writer.write(rest + _answer(request, head))
                rest = b"$7\r\nclaimed\r\n" if b"EVALSHA" in request else b""
                await writer.drain()
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        # A busy machine must not pass for a link that garbles.
        client = async_client(f"redis://127.0.0.1:{port}", socket_timeout=_LONG_S)
        with pytest.raises(RedisFault) as error:
            await _claim(client)
        if error.value.fault.remedy is Remedy.RESOLVE:
            await _store(client).refresh_primary()
        assert await client.echo("mine") == b"mine"
        assert len(connections) == 2
        await client.aclose()
        server.close()

    asyncio.run(ask())


def _answer(request: bytes, head: bytes) -> bytes:
    if b"HELLO" in request:
        return b"%1\r\n$5\r\nproto\r\n:3\r\n"
    if b"EVALSHA" in request:
        return head + b"\r\n"
    return b"$4\r\nmine\r\n" if b"ECHO" in request else b"+OK\r\n"


def _troubles() -> list[Trouble]:
    return [
        Trouble(nth={trip: "garble"}, first_byte=bytes([kind]))
        for trip in range(1, _TRIPS + 1)
        for kind in KINDS
    ]


def _prepare(server: Server) -> None:
    with server.client() as client:
        client.flushall()
        plant(client)
        client.xadd(KEYS.stream, {"event_id": "1"})
        client.xgroup_create(KEYS.stream, "other", "0")
        client.xadd("intents", {"intent": "{}"})
