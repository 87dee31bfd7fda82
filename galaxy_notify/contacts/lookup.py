"""A lookup of one's own in place of stored contacts, ``contacts.lookup``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, cast

from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.contact_input import read_contacts
from galaxy_notify.errors import InvalidContact, Unavailable
from galaxy_notify.model.callables import check_callable, loaded_attribute
from galaxy_notify.settings import Settings

Find = Callable[[str, str], Awaitable[Sequence[Any]]]

#: The time for one lookup, in seconds.
LOOKUP_S: Final = 5.0
_ID_BYTES: Final = 8


class Lookup:
    """Asks a function of the operator's: ``async def find(user, channel)``.

    It returns a list of objects as ``contacts set`` takes them, which need no channel.
    """

    def __init__(self, settings: Settings) -> None:
        """Load the function; raise `ConfigurationError` if it cannot be used."""
        name = settings.contacts.lookup
        found = loaded_attribute("contacts.lookup", name)
        check_callable("contacts.lookup", found, ("user", "channel"), asynchronous=True)
        self._find = cast("Find", found)
        self._channels = settings.channels
        self._calls: set[asyncio.Task[Sequence[Any]]] = set()

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]:
        """Return the contacts of a user of a channel.

        An id is a digest of the address where none is given. Raises `Unavailable` where the
        function fails, takes longer than `LOOKUP_S`, or returns what is no list of contacts.
        """
        found = await self._found(user, channel)
        try:
            wanted = read_contacts(found, {channel: self._channels[channel]}, channel)
        except InvalidContact as error:
            reason = f"contacts.lookup returned {error.field or 'its list'}: {error.message}"
            raise Unavailable(reason, code="connection") from None
        kind = self._channels[channel].kind
        return tuple(
            Contact(one.id or _id_of(one.address), channel, kind, one.address, one.data, 0)
            for one in wanted
        )

    async def _found(self, user: str, channel: str) -> Sequence[Any]:
        """Call the function; it is not waited for after its time, even if it does not end then."""
        task = asyncio.create_task(_call(self._find, user, channel))
        self._calls.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=LOOKUP_S)
        if not task.done():
            task.cancel()
            raise Unavailable(f"contacts.lookup took over {LOOKUP_S:g} s", code="timeout")
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return task.result()
        # Whatever it raises, its user waits for the next attempt.
        reason = f"contacts.lookup failed: {type(error).__name__}"
        raise Unavailable(reason, code="connection") from error

    def _ended(self, task: asyncio.Task[Sequence[Any]]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: nobody may wait for it any more


async def _call(find: Find, user: str, channel: str) -> Sequence[Any]:
    try:
        return await find(user, channel)
    except SystemExit as error:  # it would end the process
        raise RuntimeError(f"the function called exit({error.code!r})") from error


def _id_of(address: str) -> str:
    # Not the place in the list: what was sent to is remembered by id, in whatever order they come.
    return blake2b(address.encode(), digest_size=_ID_BYTES).hexdigest()
