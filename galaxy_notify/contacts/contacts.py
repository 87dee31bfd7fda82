"""The contacts of users, as a process with an event loop uses them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar

import redis.asyncio

from galaxy_notify.contacts.book import ContactBook, remove_flow
from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.lookup import Lookup
from galaxy_notify.errors import Misconfigured
from galaxy_notify.redis_client.flows import Flow, run_flow_with
from galaxy_notify.redis_client.runner import Ask, run_all
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings

T = TypeVar("T")


class Contacts:
    """Where channels reach users: stored contacts, or those of ``contacts.lookup``.

    Every method raises `RedisFault`. Those that change something raise `ConfigurationError` where
    contacts are looked up elsewhere.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        key_space: KeySpace,
        settings: Settings,
        ask: Ask | None = None,
    ) -> None:
        """Use a connection; raise `ConfigurationError` without keys and lookup.

        *ask* makes the round trips; without it, each call has its own.
        """
        self._ask: Ask = ask or partial(run_all, client)
        self._key_space = key_space
        self._settings = settings
        self._lookup = Lookup(settings) if settings.contacts.lookup else None
        self._stored = None if self._lookup else ContactBook(settings)

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]:
        """Return the contacts of a user of a channel, disabled ones too.

        Raises `Misconfigured` where one of them cannot be decrypted: nothing may be sent until its
        key is there. Raises `Unavailable` where the lookup fails.
        """
        if self._lookup is not None:
            return await self._lookup.of(user, channel)
        found = await self._run(self._book.all_of(self._key_space, user))
        for one in found.unreadable:
            if one.channel == channel:
                raise Misconfigured(f"a contact of {channel} cannot be decrypted: {one.reason}")
        return tuple(one for one in found.contacts if one.channel == channel)

    async def replace(
        self, user: str, wanted: Sequence[NewContact], channels: Iterable[str] = ()
    ) -> bool:
        """Put contacts in place of others; see `ContactBook.replace`."""
        return await self._run(self._book.replace(self._key_space, user, wanted, channels))

    async def remove(self, user: str, ids: Sequence[str] = (), channel: str = "") -> int:
        """Remove contacts, and return how many there were; see `remove_flow`."""
        return await self._run(remove_flow(self._key_space, user, ids, channel))

    async def disable(self, user: str, contact: Contact, reason: str) -> Contact | None:
        """Disable a contact as it was read, and return it as it is now; None if it is gone.

        One that was looked up elsewhere cannot be disabled here: it is returned as it is.
        """
        if self._lookup is not None:
            return contact
        return await self._run(self._book.disable(self._key_space, user, contact, reason))

    @property
    def _book(self) -> ContactBook:
        return self._stored or ContactBook(self._settings)

    async def _run(self, flow: Flow[T]) -> T:
        return await run_flow_with(self._ask, flow)
