"""What a kind of channel does for the worker, which knows nothing of what it sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent


class Target(NamedTuple):
    """One address to send to. Targets with the same *host* share its limits; empty: none has.

    *name* is the id of an address that is not a contact: always the same, and no secret.
    """

    contact: Contact | None = None
    host: str = ""
    name: str = ""

    @property
    def id(self) -> str:
        """By this a route remembers that the address has it."""
        return self.contact.id if self.contact else self.name


class Kind(Protocol):
    """Sends for one channel of a process, in one event loop."""

    @property
    def has_contacts(self) -> bool:
        """Whether it sends to contacts of users; one without them has the same targets for all."""
        ...

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return where this event goes, of contacts that are not disabled; none: unsubscribed."""
        ...

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt | Busy:
        """Send to one address, and return what became of it, at *deadline* (the loop's time).

        `Busy` where it could not begin: then nothing was sent, and this is no attempt. Raises
        `OSError` only where this machine has no more sockets, threads or memory.
        """
        ...

    async def close(self) -> None:
        """Close what is kept open, once no attempt is under way."""
        ...
