"""Round trips to Redis that break: before the request arrives, or before its reply does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import redis

from galaxy_notify.redis_client import runner
from galaxy_notify.redis_client.runner import Round
from galaxy_notify.redis_client.scripts import Command, ScriptCall


class BreakingRound(Round):
    """A round trip that breaks once *left* others were well; None: it does not.

    *hears* says whether the server still gets the request.
    """

    left: ClassVar[int | None] = None
    hears: ClassVar[bool] = False

    @classmethod
    def mend(cls) -> None:
        """Let all round trips be well again."""
        cls.left = None

    async def _exchange(self, calls: Sequence[ScriptCall | Command]) -> list[Any]:
        if BreakingRound.left == 0:
            if BreakingRound.hears:
                await super()._exchange(calls)
            raise redis.ConnectionError("broken on purpose")
        if BreakingRound.left is not None:
            BreakingRound.left -= 1
        return await super()._exchange(calls)


@contextmanager
def breaking_trips() -> Iterator[type[BreakingRound]]:
    """Have all round trips of tasks be such ones meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "Round", BreakingRound)
        BreakingRound.mend()
        yield BreakingRound
