"""Closing what may still wait for a server, at the end of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, Protocol

#: The end of a process waits for no server longer than this: with the draining before and the last
#: export behind it, it is to end before the shutdown watchdog ends it.
_AT_MOST_S: Final = 1.0


class Closing(Protocol):
    """What has connections."""

    def close(self) -> Awaitable[None]:
        """Close them, behind the calls that still run."""


async def close_soon(closing: Closing) -> None:
    """Close connections, without those on which a call gets no reply."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_AT_MOST_S):
            await closing.close()
