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

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]:
        """Return the contacts of a user of a channel.

        An id is a digest of the address where none is given. Raises `Unavailable` where the
        function fails, takes longer than `LOOKUP_S`, or returns what is no list of contacts.
        """
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = await self._find(user, channel)
        except TimeoutError:
            raise Unavailable(f"contacts.lookup took over {LOOKUP_S:g} s", code="timeout") from None
        except Exception as error:  # whatever it raises, its user waits for the next attempt
            reason = f"contacts.lookup failed: {type(error).__name__}"
            raise Unavailable(reason, code="connection") from error
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


def _id_of(address: str) -> str:
    # Not the place in the list: what was sent to is remembered by id, in whatever order they come.
    return blake2b(address.encode(), digest_size=_ID_BYTES).hexdigest()
