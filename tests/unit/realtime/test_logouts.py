"""Logouts: asked for each request, unless Redis is away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis.asyncio

from galaxy_notify.realtime import logouts as logouts_module
from galaxy_notify.realtime.logouts import Logouts
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.redis_client.faults import BUSY, Fault, RedisFault, Remedy
from galaxy_notify.web.problems import Problem
from tests.support.gateways import KEY_SPACE
from tests.support.wait import HANG_S

_USER = TokenUser("u1", 1000.0, 2000.0)


class _Redis:
    """Answers as the test says; counts how often it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _: object, calls: list[Any]) -> list[Any]:
        self.asked += len(calls)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception) and not self.answers:
            raise answer
        return [answer]


def _fault(code: str) -> RedisFault:
    return RedisFault(Fault(code, Remedy.RETRY, code))


def _voids(monkeypatch: pytest.MonkeyPatch, server: _Redis, times: int = 1) -> list[bool]:
    monkeypatch.setattr(logouts_module, "run_all", server)

    async def ask() -> list[bool]:
        logouts = Logouts(cast("redis.asyncio.Redis", None), KEY_SPACE)
        return [await logouts.voids(_USER) for _ in range(times)]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("at", "is_void"),
    [(None, False), (b"999999", False), (b"1000000", True), (b"2000000", True), (b"x", False)],
)
def test_token__of_before_a_logout_is_void(
    monkeypatch: pytest.MonkeyPatch, at: bytes | None, is_void: bool
) -> None:
    """A token of the same moment counts as earlier."""
    assert _voids(monkeypatch, _Redis([at])) == [is_void]


def test_redis__that_is_away_is_not_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, and no token is void meanwhile."""
    monkeypatch.setattr(logouts_module, "_AWAY_S", HANG_S)
    server = _Redis(_fault("timeout"), [b"2000000"])
    assert _voids(monkeypatch, server, 3) == [False] * 3
    assert server.asked == 1
    monkeypatch.setattr(logouts_module, "_AWAY_S", 0.0)
    server = _Redis(_fault("connection"), [b"2000000"])
    assert _voids(monkeypatch, server, 2) == [False, True]


def test_connections__that_are_all_in_use_let_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood must not open the feed to who was logged out."""
    with pytest.raises(Problem) as raised:
        _voids(monkeypatch, _Redis(_fault(BUSY)))
    assert raised.value.kind == "busy"
