"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, overload

T = TypeVar("T")

#: Catches a hang. It bounds nothing else: no test may say with it how fast something is.
HANG_S = 300.0

_STEP_SECONDS = 0.01


def wait_until(predicate: Callable[[], T], description: str, timeout: float = HANG_S) -> T:
    """Return the first true answer of the predicate; fail after the timeout, saying for what."""
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {description}")
        time.sleep(_STEP_SECONDS)
    return answer


@overload
async def until(
    predicate: Callable[[], Awaitable[T]], description: str, timeout: float = HANG_S
) -> T: ...
@overload
async def until(predicate: Callable[[], T], description: str, timeout: float = HANG_S) -> T: ...
async def until(
    predicate: Callable[[], object], description: str, timeout: float = HANG_S
) -> object:
    """Do as `wait_until` in a coroutine; the predicate may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        asked = predicate()
        answer = await asked if isawaitable(asked) else asked
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {description}")
        await asyncio.sleep(_STEP_SECONDS)
