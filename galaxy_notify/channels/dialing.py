"""Opening a connection: to the first address that answers, of those that the guard allows."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from asyncio import FIRST_COMPLETED
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Final

from galaxy_notify.channels.guard import Blocked, Guard

#: RFC 8305: how long an address is waited for before the next one is tried beside it.
_NEXT_AFTER_S: Final = 0.25
#: More addresses of one name are of no use within the time of an attempt.
_MOST_ADDRESSES: Final = 8
#: This machine has no more sockets: that says nothing about the other one.
OWN_FAULTS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Unreachable(OSError):
    """No address could be connected to; the text says why, and names none."""


async def dial(guard: Guard, addresses: Sequence[str], port: int) -> socket.socket:
    """Return a socket that is connected to one of the addresses.

    They are tried in turn, IPv6 and IPv4 alternating, and side by side where one takes long. Raises
    `Blocked` if the guard allows none, `Unreachable` if none answers, any other `OSError` only
    where this machine has no more sockets. The caller bounds the time; if it cancels, no socket is
    left open.
    """
    waiting = deque(_allowed(guard, addresses))
    if not waiting:
        raise Blocked
    try:
        if len(waiting) == 1:
            return await _connect(guard, waiting.popleft(), port)
        return await _first(guard, waiting, port)
    except OSError as error:
        if error.errno in OWN_FAULTS:
            raise
        # What asyncio says of it would show the address.
        raise Unreachable(os.strerror(error.errno or errno.ENETUNREACH)) from error


async def _first(guard: Guard, waiting: deque[str], port: int) -> socket.socket:
    """Return the first to connect; raise what the last one raised."""
    tries: set[asyncio.Task[socket.socket]] = set()
    failed = OSError()
    try:
        while waiting or tries:
            if waiting:
                tries.add(asyncio.create_task(_connect(guard, waiting.popleft(), port)))
            pause = _NEXT_AFTER_S if waiting else None
            done, _ = await asyncio.wait(tries, timeout=pause, return_when=FIRST_COMPLETED)
            for each in done:
                tries.remove(each)
                error = each.exception()
                if error is None:
                    return each.result()
                if not isinstance(error, OSError) or error.errno in OWN_FAULTS:
                    raise error
                failed = error
        raise failed
    finally:
        await _abandon(tries)


async def _connect(guard: Guard, address: str, port: int) -> socket.socket:
    made, target = guard.new_socket(address, port)
    try:
        await asyncio.get_running_loop().sock_connect(made, target)
    except BaseException:
        made.close()
        raise
    return made


def _allowed(guard: Guard, addresses: Sequence[str]) -> list[str]:
    """Return the first eight addresses that are allowed, the families alternating."""
    allowed = []
    for address in dict.fromkeys(addresses):
        with suppress(Blocked):
            guard.check(address)
            allowed.append(address)
    six = [address for address in allowed if ":" in address]
    four = [address for address in allowed if ":" not in address]
    order = (six, four) if allowed[:1] == six[:1] else (four, six)
    mixed = chain.from_iterable(zip_longest(*order))
    return [address for address in mixed if address is not None][:_MOST_ADDRESSES]


async def _abandon(tries: set[asyncio.Task[socket.socket]]) -> None:
    """End what still tries to connect, and close what has connected all the same."""
    for each in tries:
        each.cancel()
    for made in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(made, socket.socket):
            made.close()
