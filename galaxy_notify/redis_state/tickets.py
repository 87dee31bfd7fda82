"""Tickets: passes to one stream, for clients that can send no header of their own.

A ticket holds its user and the times of the token that it was issued for; Redis holds a digest of
it for 30 s. It is valid once: whoever removes the digest has it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from secrets import token_urlsafe
from time import time_ns
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.shared_settings import KeySpace

LIFETIME_MS: Final = 30_000
#: Tickets of one user that wait to be used; the oldest beyond them are void.
_PER_USER: Final = 64
_RANDOM_BYTES: Final = 24
_DIGEST_BYTES: Final = 16
_TICKET: Final = re.compile(r"([A-Za-z0-9_-]{1,256}=*)\.([0-9]{1,15})\.([0-9]{1,15})\.[\w-]{16,64}")
_USER: Final = re.compile(RECIPIENT)


class Grant(NamedTuple):
    """For whom a ticket is, and when its token was issued and expires (seconds since 1970)."""

    user: str
    issued_at: float
    expires_at: float


class Tickets:
    """Issues and redeems tickets. Every method raises `RedisFault`."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space

    async def issue(self, grant: Grant) -> str:
        """Return a new ticket."""
        user = urlsafe_b64encode(grant.user.encode()).decode().rstrip("=")
        issued_ms, expires_ms = round(grant.issued_at * 1000), round(grant.expires_at * 1000)
        ticket = f"{user}.{issued_ms}.{expires_ms}.{token_urlsafe(_RANDOM_BYTES)}"
        key, now_ms = self._key(grant.user), _now_ms()
        await self._ask(
            ["ZREMRANGEBYSCORE", key, "-inf", now_ms],
            ["ZADD", key, now_ms + LIFETIME_MS, _digest(ticket)],
            ["ZREMRANGEBYRANK", key, 0, -_PER_USER - 1],
            ["PEXPIRE", key, LIFETIME_MS],
        )
        return ticket

    async def redeem(self, ticket: str) -> Grant | None:
        """Return whom a ticket is for, once; None where it is invalid, used or too old."""
        grant = _read(ticket)
        if grant is None:
            return None
        key = self._key(grant.user)
        _, removed = await self._ask(
            ["ZREMRANGEBYSCORE", key, "-inf", _now_ms()], ["ZREM", key, _digest(ticket)]
        )
        return grant if removed == 1 else None

    def _key(self, user: str) -> str:
        return self._key_space.keys_of_user(user).tickets(user)

    async def _ask(self, *commands: list[str | int | bytes]) -> Sequence[Any]:
        replies = await run_all(self._client, [Command(words) for words in commands])
        for reply in replies:
            if isinstance(reply, RedisFault):
                raise reply
        return replies


def _read(ticket: str) -> Grant | None:
    match = _TICKET.fullmatch(ticket)
    if match is None:
        return None
    try:
        user = urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)).decode("ascii")
    except ValueError:
        return None
    if not _USER.fullmatch(user):
        return None
    return Grant(user, int(match[2]) / 1000, int(match[3]) / 1000)


def _digest(ticket: str) -> bytes:
    return sha256(ticket.encode()).digest()[:_DIGEST_BYTES]


def _now_ms() -> int:
    return time_ns() // 1_000_000
