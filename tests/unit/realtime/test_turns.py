"""Turns: how many calls there are at the same time, and in which order changes come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from galaxy_notify.realtime import turns as turns_module
from galaxy_notify.realtime.turns import Turns
from galaxy_notify.web.problems import Problem


def _run(scenario: Callable[[Turns], Awaitable[None]], most: int = 4, of_user: int = 2) -> None:
    async def run() -> None:
        turns = Turns(most, of_user)
        await scenario(turns)
        assert not turns._users
        assert not turns._calls

    asyncio.run(run())


async def _refused(turns: Turns, user: str) -> None:
    with pytest.raises(Problem) as raised:
        async with turns.reading(user):
            raise AssertionError("there was a turn")
    assert (raised.value.status, raised.value.kind) == (503, "busy")
    assert int(raised.value.headers["Retry-After"]) >= 1


def test_turns__of_a_user_are_few() -> None:
    """Others still have theirs, and one that ends is free again."""

    async def scenario(turns: Turns) -> None:
        async with turns.reading("u1"), turns.changing("u1"):
            await _refused(turns, "u1")
            async with turns.reading("u2"):
                pass
        async with turns.reading("u1"):
            pass

    _run(scenario)


def test_turns__of_all_are_bounded() -> None:
    """Nobody else is let in."""

    async def scenario(turns: Turns) -> None:
        async with turns.reading("u1"), turns.reading("u2"), turns.changing("u3"):
            await _refused(turns, "u4")

    _run(scenario, most=3)


def test_turns__of_few_users_are_not_all() -> None:
    """Where half of them are taken, a user has an eighth of its own, and others still have some."""

    async def scenario(turns: Turns) -> None:
        async with AsyncExitStack() as stack:
            for user in ("u1", "u2"):
                for _ in range(16):
                    await stack.enter_async_context(turns.reading(user))
            await _refused(turns, "u1")
            for _ in range(2):
                await stack.enter_async_context(turns.reading("u3"))
            await _refused(turns, "u3")
        async with turns.reading("u1"), turns.reading("u1"), turns.reading("u1"):
            pass

    _run(scenario, most=64, of_user=16)


def test_changes__of_a_user_follow_one_another() -> None:
    """Reads of the same user, and changes of others, do not wait for them."""

    async def scenario(turns: Turns) -> None:
        order: list[str] = []

        async def change() -> None:
            async with turns.changing("u1"):
                order.append("changed")

        async with turns.changing("u1"):
            task = asyncio.create_task(change())
            async with turns.reading("u1"), turns.changing("u2"):
                await asyncio.sleep(0)
                order.append("first")
        await task
        assert order == ["first", "changed"]

    _run(scenario, most=8, of_user=3)


def test_change__waits_for_so_long_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its client is to come back."""
    monkeypatch.setattr(turns_module, "_PATIENCE_S", 0)

    async def scenario(turns: Turns) -> None:
        async with turns.changing("u1"):
            with pytest.raises(Problem) as raised:
                async with turns.changing("u1"):
                    raise AssertionError("there was a turn")
            assert raised.value.kind == "busy"

    _run(scenario)


def test_turn__that_fails_is_free_again() -> None:
    """Whatever the call raised."""

    async def scenario(turns: Turns) -> None:
        for _ in range(3):
            with pytest.raises(RuntimeError):
                async with turns.changing("u1"):
                    raise RuntimeError

    _run(scenario)
