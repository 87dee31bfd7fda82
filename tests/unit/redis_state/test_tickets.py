"""Tickets on a Redis in this process: what they say, and to whom they are of use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.redis_state.tickets import Grant, Tickets

_KEY_SPACE = KeySpace("gn", SharedSettings(shards=3))
_USERS = st.from_regex(RECIPIENT, fullmatch=True)
_TIMES = st.floats(0, 1e10)


def _run(act: Callable[[Tickets, Any], Awaitable[None]]) -> None:
    async def scenario() -> None:
        client = fakeredis.FakeAsyncRedis()
        try:
            await act(Tickets(client, _KEY_SPACE), client)
        finally:
            await client.aclose()

    asyncio.run(scenario())


@settings(max_examples=50, deadline=None)
@given(_USERS, _TIMES, _TIMES)
def test_ticket__says_what_it_was_issued_for(
    user: str, issued_at: float, expires_at: float
) -> None:
    """To the millisecond, for any user; and once."""

    async def act(tickets: Tickets, _: Any) -> None:
        ticket = await tickets.issue(Grant(user, issued_at, expires_at))
        grant = await tickets.redeem(ticket)
        assert grant is not None
        assert grant.user == user
        assert abs(grant.issued_at - issued_at) < 0.001
        assert abs(grant.expires_at - expires_at) < 0.001
        assert await tickets.redeem(ticket) is None

    _run(act)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.integers(0, 120))
def test_ticket__that_is_changed_is_void(text: str, at: int) -> None:
    """Wherever, and whatever stands there instead; the true one is valid still."""

    async def act(tickets: Tickets, _: Any) -> None:
        ticket = await tickets.issue(Grant("user-7", 1.0, 2.0))
        changed = ticket[:at] + text + ticket[at + len(text) :]
        if changed != ticket:
            assert await tickets.redeem(changed) is None
        assert await tickets.redeem(text) is None
        assert await tickets.redeem(ticket) is not None

    _run(act)


def test_ticket__is_void_after_its_time() -> None:
    """Also where the key is still there, for another ticket."""

    async def act(tickets: Tickets, client: Any) -> None:
        old, new = [await tickets.issue(Grant("u1", 1.0, 2.0)) for _ in range(2)]
        key = _KEY_SPACE.keys_of_user("u1").tickets("u1")
        for member in await client.zrange(key, 0, -1):
            await client.zadd(key, {member: time.time() * 1000 - 1})
        new = await tickets.issue(Grant("u1", 1.0, 2.0))
        assert await client.zcard(key) == 1
        assert await tickets.redeem(old) is None
        assert await tickets.redeem(new) is not None

    _run(act)
