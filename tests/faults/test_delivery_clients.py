"""Rows D8 and D10: clients that a gateway must get rid of, and clients that it must not let in."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from contextlib import ExitStack
from statistics import quantiles

import jwt
import pytest

from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.broken_clients import BREAKING, broken_client
from tests.faults.support.delivery_run import DeliveryRun
from tests.faults.support.gateways import FaultyGateway
from tests.faults.support.live_client import LiveClient
from tests.support.gateways import AUDIENCE, SECRET, claims, token
from tests.support.memory import Memory
from tests.support.streams import request
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.extended]

_CLIENTS = 1000
_BROKEN = 102
#: The p99 of those who read may rise by this, beside clients that do not.
_RISE = 3.0
#: What a client that does not read may cost: `realtime.buffer_bytes`, and as much again on its way.
_MB_EACH = 0.5
_SLACK_MB = 32.0
#: Batches of a phase, and the time between two of them.
_TURNS = 100
_TURN_S = 0.2


def test_rowd8__a_tenth_of_the_clients_is_broken(delivery_run: NewDeliveryRun) -> None:
    """Others are served as before; memory stays bounded, and the presence of the gone ends."""
    one = delivery_run(users=_CLIENTS)
    bad, good = one.users[:_BROKEN], one.users[_BROKEN:]

    async def scenario(stack: ExitStack) -> None:
        gateway = one.gateway()
        memory = Memory(gateway.process.pid)
        async with one.leaving():
            await one.connect(good)
            leaving = await one.connect(bad)
            before = await _p99_s(one, good, bad, 10_000)
            for client in leaving:
                await client.leave()
                one.clients.remove(client)
            at_first = memory.resident
            for number, user in enumerate(bad):
                how = [*BREAKING][number % len(BREAKING)]
                made = await broken_client(gateway.port, user, how)
                stack.callback(made.close)
            began = time.monotonic()
            beside = await _p99_s(one, good, bad, 50_000)
            grown = memory.resident - at_first
            with one.server.client() as client:
                presences = [one.key_space.keys_of_user(user).presence(user) for user in bad]
                await until(lambda: not client.exists(*presences), "nobody broken is present")
            one.figures.append(
                f"p99 {before * 1000:.0f} ms before, {beside * 1000:.0f} ms beside; memory grew by"
                f" {grown:.0f} MB; presence ended after {time.monotonic() - began:.0f} s"
            )
            assert beside <= _RISE * before
            assert grown <= _BROKEN * _MB_EACH + _SLACK_MB

    with ExitStack() as stack:
        asyncio.run(scenario(stack))
    for user in bad:
        one.sent[user].clear()
    one.assert_clean()


async def _p99_s(one: DeliveryRun, good: list[str], bad: list[str], first: int) -> float:
    """Return in what time 99 of 100 events of good clients come, from the producer to the client.

    The others are sent more than any buffer holds, whether they read it or not.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    for turn in range(_TURNS):
        await asyncio.sleep(max(0.0, began + turn * _TURN_S - loop.time()))
        at = first + turn * 100
        await one.publish(range(at, at + 50), user_of=lambda n: good[n % len(good)])
        heavy = range(at + 50, at + 100)
        await one.publish(heavy, user_of=lambda n: bad[n % len(bad)], text_bytes=16_384)
    await one.until_all_came([client for client in one.clients if client.user in set(good)])
    took = [
        client.record.came_at[number] - one.sent_at[number]
        for client in one.clients
        if client.user in set(good)
        for number in client.record.came_at
        if first <= number < first + _TURNS * 100
    ]
    return quantiles(took, n=100)[98]


async def _status(gateway: FaultyGateway, given: str) -> str:
    """Return the status with which a gateway answers a token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request(Authorization=f"Bearer {given}"))
    answer = (await reader.readuntil(b"\r\n")).decode()
    writer.close()
    return answer.split()[1]


def _refused_tokens() -> dict[str, str]:
    now = int(time.time())
    header, _, rest = token("u1").partition(".")
    unsigned = jwt.encode(claims("u1"), "", algorithm="none")
    other_kind = jwt.encode(claims("u1"), 2 * SECRET, algorithm="HS512")
    other_user = json.dumps({"sub": "u0", "aud": AUDIENCE, "iat": now, "exp": now + 60})
    return {
        "expired": token("u1", iat=now - 3600, exp=now - 60),
        "too long": token("u1", exp=now + 7200),
        "without an end": token("u1", exp=None),
        "not yet": token("u1", nbf=now + 600),
        "of another audience": token("u1", aud="galaxy-notify"),
        "without an audience": token("u1", aud=None),
        "without a user": token("u1", sub=None),
        "of another key": token("u1", secret="f" * 32),
        "of another algorithm": other_kind,
        "unsigned": unsigned,
        "signature cut": f"{header}.{rest.partition('.')[0]}.",
        "claims replaced": f"{header}.{_base64(other_user)}.{rest.partition('.')[2]}",
        "empty": "",
        "noise": "a.b.c",
    }


def _base64(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_rowd10__token_that_does_not_hold(delivery_run: NewDeliveryRun) -> None:
    """Nobody is let in by it, and none of it stops those who may."""
    one = delivery_run(users=2)

    async def scenario() -> None:
        gateway = one.gateway()
        for what, refused in _refused_tokens().items():
            assert await _status(gateway, refused) == "401", what
        assert await _status(gateway, token("u1")) == "200"
        async with one.leaving():
            await one.connect()
            await one.publish(range(20))
            await one.until_all_came()

    asyncio.run(scenario())
    one.assert_clean()


def test_rowd10__token_that_expires(delivery_run: NewDeliveryRun) -> None:
    """The stream ends with it, and nothing is sent any more; a new token goes on behind it."""
    one = delivery_run(users=1)

    async def scenario() -> None:
        gateway = one.gateway(realtime__jwt_leeway_ms=0)
        async with one.leaving():
            client = LiveClient("u0", [gateway.port], one.rng)
            client.token = token("u0", exp=int(time.time()) + 12)
            one.clients.append(client)
            client.come()
            await one.until_connected()
            await one.publish(range(10))
            await one.until_all_came()
            await until(lambda: client.record.byes["expired"], "it is told that the token is over")
            await until(lambda: client.record.violations, "it tries again")
            await one.publish(range(10, 20))
            assert client.record.violations.pop() == "HTTP/1.1 401 Unauthorized"
            client.token = token("u0")
            await one.until_all_came()
        client.record.violations.clear()

    asyncio.run(scenario())
    one.assert_clean()


def test_rowd10__cursor_of_another_user(delivery_run: NewDeliveryRun) -> None:
    """It names a place, not a user: whoever brings it is reset, and sees own events only."""
    one = delivery_run(users=2)

    async def scenario() -> None:
        gateway = one.gateway()
        async with one.leaving():
            await one.connect()
            await one.publish(range(20))
            await one.until_all_came()
            thief = LiveClient("u1", [gateway.port], one.rng)
            thief.cursor = one.clients[0].cursor
            one.clients.append(thief)
            thief.come()
            await until(lambda: thief.record.resets["unknown"], "it is reset")
            await one.publish(range(20, 40))
            await one.until_at_the_tops()
            assert {number % 2 for number in thief.record.numbers} == {1}

    asyncio.run(scenario())
    assert one.verdict().resets == {"unknown": 1}
    assert not one.verdict().violations
