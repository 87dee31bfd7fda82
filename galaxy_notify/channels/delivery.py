"""One notification on its way to one address: what the code of a channel gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from galaxy_notify.contacts.contact import Contact
from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.model.live_event import LiveEvent


class TransientDeliveryError(GalaxyNotifyError):
    """Raised by a channel of your own to request another attempt; any other error is permanent.

    *retry_after_ms* is when the next attempt makes sense, if the other side said so.
    """

    def __init__(self, reason: str = "", *, retry_after_ms: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification for one user at one address.

    *contact* is None only for a channel that reaches nobody, such as ``log``. *attempt* counts from
    1, and begins again with a replay; the event id is the same in all attempts until then.
    *traceparent* is that of the producer's call, or empty.
    """

    channel: str
    user_id: str
    event: LiveEvent
    contact: Contact | None = None
    producer: str = ""
    attempt: int = 1
    expires_at_ms: int | None = None
    request_id: str = ""
    trace_id: str = ""
    traceparent: str = ""

    @property
    def notification_id(self) -> str:
        """The id of the notification, as its receipt has it."""
        return self.event.notification_id

    @property
    def event_id(self) -> str:
        """The id of what is sent, the same in each attempt: what a receiver compares."""
        return self.event.event_id

    @property
    def address(self) -> str:
        """The address of the contact; empty without one."""
        return self.contact.address if self.contact else ""

    @property
    def type(self) -> str:
        """The type of the notification."""
        return self.event.type

    @property
    def severity(self) -> str:
        """``info``, ``notice``, ``warning`` or ``critical``."""
        return self.event.severity

    @property
    def title(self) -> str:
        """The title; may be empty."""
        return self.event.title

    @property
    def body(self) -> str:
        """The text; may be empty."""
        return self.event.body

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the producer."""
        return self.event.data
