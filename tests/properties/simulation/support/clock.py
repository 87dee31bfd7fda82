"""An event loop whose time passes only while everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from galaxy_notify import backoff
from galaxy_notify.publishing import (
    claimer,
    health,
    janitor,
    publisher,
    state,
    state_check,
    trimmers,
    worker,
)
from galaxy_notify.redis_client import retries

_LOOPS = (claimer, health, janitor, publisher, state, state_check, trimmers, worker)


class Stuck(AssertionError):
    """Everybody waits for something that nobody will do."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop without files: it goes to the next timer at once."""

    def __init__(self) -> None:
        self._virtual_s = 1000.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual_s

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        self._virtual_s += seconds


class _Skipping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nobody will ever be woken")
        self._loop.skip(max(0.0, timeout))
        return []


@contextmanager
def virtual(seed: int) -> Iterator[VirtualLoop]:
    """Give a loop by whose time the workers live, and chance that the seed decides."""
    loop, tokens, chances = VirtualLoop(), Random(f"tokens {seed}"), Random(f"backoff {seed}")
    with ExitStack() as stack:
        for module in (*_LOOPS, retries):
            stack.enter_context(patch.object(module, "monotonic", loop.time))
        stack.enter_context(patch.object(backoff, "SystemRandom", lambda: chances))
        stack.enter_context(
            patch.object(claimer, "token_hex", lambda size: f"{tokens.getrandbits(8 * size):x}")
        )
        try:
            yield loop
        finally:
            loop.close()
