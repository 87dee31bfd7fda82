"""A test message, sent at once by the very kind of a channel: no route, nothing that retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.channels.kind import Kind, Target
from galaxy_notify.channels.kinds import open_kind
from galaxy_notify.contacts.contact import Contact, mask
from galaxy_notify.contacts.opening import open_contacts
from galaxy_notify.model.ids import event_id, random_id
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings

PRODUCER: Final = "galaxy-notify"


class Tried(NamedTuple):
    """What became of one address; *attempt* is None where nothing was sent, for *skipped*.

    *name* is the id of an address that is not a contact.
    """

    contact: Contact | None
    attempt: Attempt | None = None
    skipped: str = ""
    name: str = ""

    @property
    def is_delivered(self) -> bool:
        """Return whether the address has it."""
        return self.attempt is not None and self.attempt.outcome == "delivered"

    def as_json(self) -> dict[str, Any]:
        """Return what the command line prints; the address is masked."""
        attempt = self.attempt
        return {
            "id": self.contact.id if self.contact else self.name or None,
            "address": self.contact and mask(self.contact.address),
            "outcome": attempt.outcome if attempt else "skipped",
            "reason": (attempt.reason if attempt else self.skipped) or None,
            "detail": attempt.detail or None if attempt else None,
            "status": attempt and attempt.status,
            "retry_after_ms": attempt and attempt.retry_after_ms,
            "response": attempt.response or None if attempt else None,
        }


def trial_event(channel: str, user: str, type: str) -> LiveEvent:
    """Return the event of a test message, of a notification that does not exist."""
    now_ms = time.time_ns() // 1_000_000
    name = event_id(f"{random_id(now_ms)}/{channel}:{user}", 1)
    text = f"This message tries out the channel {channel}."
    return LiveEvent(name, type, "info", "Test message", text, {"test": True}, now_ms)


async def try_channel(
    name: str, event: LiveEvent, user: str, settings: Settings, key_space: KeySpace
) -> Sequence[Tried]:
    """Send an event to each address that a user has of a channel; none: there is no contact.

    Raises what `open_kind` and `Contacts.of` raise.
    """
    client = open_async(settings)
    try:
        kind = open_kind(name, settings, client, key_space)
        try:
            contacts: Sequence[Contact] = ()
            if kind.has_contacts:
                contacts = await open_contacts(client, key_space, settings).of(user, name)
            deadline = asyncio.get_running_loop().time() + settings.channels[name].timeout_ms / 1000
            return await _tried(
                kind, contacts, Delivery(name, user, event, None, PRODUCER), deadline
            )
        finally:
            await kind.close()
    finally:
        await client.aclose()


async def _tried(
    kind: Kind, contacts: Sequence[Contact], delivery: Delivery, deadline: float
) -> list[Tried]:
    enabled = [one for one in contacts if not one.is_disabled]
    wanted = kind.targets(enabled, delivery.event) if enabled or not kind.has_contacts else ()
    sends = (_send(kind, delivery, target, deadline) for target in wanted)
    tried = await asyncio.gather(*sends)
    sent_to = {target.id for target in wanted}
    left = [one for one in contacts if one.id not in sent_to]
    skips = (Tried(one, None, _reason(one)) for one in left)
    return [*tried, *skips]


def _reason(contact: Contact) -> str:
    return "endpoint_disabled" if contact.is_disabled else "unsubscribed"


async def _send(kind: Kind, delivery: Delivery, target: Target, deadline: float) -> Tried:
    try:
        attempt = await kind.send(delivery, target, deadline)
    except OSError as error:
        what = f"this machine has no more sockets or memory: {error.strerror}"
        attempt = Attempt("transient", "connect", what)
    if isinstance(attempt, Busy):
        attempt = Attempt("transient", "timeout", "earlier attempts have not ended")
    return Tried(target.contact, attempt, name=target.name)
