"""The kind ``email``: a notification as an e-mail to the addresses of its user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.smtp_sender import Envelope, SmtpSender
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.mail.message import Mail, message_id
from galaxy_notify.mail.templates import TemplateFailed, Templates
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.mailbox import parse_mailbox, smtp_address
from galaxy_notify.settings.channel_kinds import EmailChannel

#: What the default look shows at its edge; these can be told apart on light and on dark.
_COLOURS: Final = {
    "info": "#4c8dff",
    "notice": "#2fa36b",
    "warning": "#e0a100",
    "critical": "#e5484d",
}
#: Names of data that a link is taken from; the first that holds one.
_LINKS: Final = ("link", "url")

Unsubscribe = Callable[[ContactPlace], str]


class EmailKind:
    """Sends for a channel of kind ``email``, in one event loop; `close` it at the end.

    *unsubscribe* returns the URL with which the owner of an address stops further e-mails.
    """

    has_contacts: Final = True

    def __init__(
        self,
        settings: EmailChannel,
        templates: Templates,
        sender: SmtpSender,
        unsubscribe: Unsubscribe | None = None,
    ) -> None:
        self._host = f"{settings.host}:{settings.port}"
        self._from = parse_mailbox(settings.sender)
        self._domain = self._from.address.rpartition("@")[2]
        self._templates = templates
        self._sender = sender
        self._unsubscribe = unsubscribe

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return every contact: all are reached by the one server."""
        del event
        return [Target(contact, self._host) for contact in contacts]

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Send one e-mail; see `Kind.send`. The same event has the same Message-ID each time."""
        if target.contact is None:
            raise ValueError("an e-mail is sent to a contact")
        try:
            recipient = smtp_address(target.contact.address)
        except ValueError as error:  # a look-up of one's own may return anything
            return Attempt("permanent", "invalid", f"its address {error}")
        try:
            content = self._mail(delivery, target.contact, recipient).as_bytes()
        except TemplateFailed as error:
            return Attempt("permanent", "template", str(error))
        return await self._sender.send(Envelope(self._from.address, recipient, content), deadline)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._sender.close()

    def _mail(self, delivery: Delivery, contact: Contact, recipient: str) -> Mail:
        place = ContactPlace(delivery.user_id, contact.channel, contact.id)
        url = self._unsubscribe(place) if self._unsubscribe else ""
        written = self._templates.write(delivery.type, self._values(delivery, url))
        return Mail(
            self._from,
            recipient,
            written.subject,
            written.text,
            written.html,
            # Several addresses of a user each have a message of their own.
            message_id(f"{delivery.event_id} {contact.id}", self._domain),
            delivery.event.created_at_ms / 1000,
            url,
        )

    def _values(self, delivery: Delivery, url: str) -> dict[str, Any]:
        """Return what a template may use."""
        return {
            "title": delivery.title,
            "body": delivery.body,
            "type": delivery.type,
            "severity": delivery.severity,
            "data": delivery.data,
            "link": _link(delivery),
            "user_id": delivery.user_id,
            "producer": delivery.producer,
            "notification_id": delivery.notification_id,
            "created_at_ms": delivery.event.created_at_ms,
            "sender": self._from.name or self._from.address,
            "colour": _COLOURS.get(delivery.severity, _COLOURS["info"]),
            "unsubscribe_url": url,
        }


def _link(delivery: Delivery) -> str:
    """Return the link of the data, if it is one for a browser; no other scheme gets into a mail."""
    for name in _LINKS:
        value = delivery.data.get(name)
        if isinstance(value, str) and value.isprintable() and " " not in value:
            try:
                parts = urlsplit(value)
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and parts.hostname:
                return value
    return ""
