"""The kind ``web_push``: encrypted messages to the browsers of users."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgpack

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endpoint import Endpoint
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.push_encryption import encrypted
from galaxy_notify.channels.push_message import LONGEST_TTL_S, push_content, push_headers
from galaxy_notify.channels.vapid import Vapid
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.vapid_keys import VapidKeys
from galaxy_notify.contacts.web_push_data import WebPushData, key_id_of, read_web_push_data
from galaxy_notify.errors import ConfigurationError, InvalidContact, InvalidEndpoint
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.settings.channel_kinds import WebPushChannel

#: Subscriptions whose contact is kept as it was read.
_MOST_OPENED: Final = 2048
_UNKNOWN: Final = "the push service does not know the subscription any more"
_NOT_OURS: Final = (
    "the push service refuses our key: check public_key, private_key and subject of the channel"
)
_REFUSED: Final[Mapping[int, Attempt]] = {
    401: Attempt("transient", "auth", _NOT_OURS),
    403: Attempt("transient", "auth", _NOT_OURS),
    404: Attempt("gone", "http_status", _UNKNOWN),
    410: Attempt("gone", "http_status", _UNKNOWN),
    413: Attempt("permanent", "too_large", "the push service takes no message of this length"),
}


class _Opened(NamedTuple):
    """A contact as it was read. In place of an endpoint: the attempt that says why there is none.

    *audience* is the push service as tokens name it.
    """

    endpoint: Endpoint | Attempt
    data: WebPushData = WebPushData(b"", b"")
    origin: str = ""
    audience: str = ""


class WebPushKind:
    """Sends for a channel of kind ``web_push``, in one event loop; `close` it at the end."""

    has_contacts: Final = True

    def __init__(
        self,
        settings: WebPushChannel,
        vapid: Vapid,
        *,
        guard: Guard | None = None,
        sender: WebhookSender | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Prepare; *guard*, *sender* and the clock *now_ms* are for tests."""
        self._key_id = key_id_of(settings.public_key)
        self._ttl_s = min(settings.max_late_ms // 1000, LONGEST_TTL_S)
        self._vapid = vapid
        self._guard = guard or Guard()
        self._sender = sender or WebhookSender(self._guard)
        self._now_ms = now_ms or _now_ms
        self._opened = lru_cache(_MOST_OPENED)(self._open)

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return the browsers that have subscribed with the present key: no other can be sent to.

        One whose contact cannot be used is among them: the attempt says why.
        """
        del event
        found = []
        for contact in contacts:
            opened = self._of(contact)
            if opened.data.key_id in ("", self._key_id):
                found.append(Target(contact, opened.origin))
        return found

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Send to one browser; see `Kind.send`."""
        if target.contact is None:
            raise ValueError("a web push message is sent to a contact")
        endpoint, data, _, audience = self._of(target.contact)
        if isinstance(endpoint, Attempt):
            return endpoint
        body = encrypted(push_content(delivery.event), data.p256dh, data.auth)
        headers = push_headers(delivery.event, self._ttl_of(delivery))
        headers["Authorization"] = self._vapid.authorization(audience)
        return _judged(await self._sender.send(endpoint, body, headers, deadline))

    async def close(self) -> None:
        """Close what is kept open."""
        await self._sender.close()

    def _ttl_of(self, delivery: Delivery) -> int:
        """Return how long a push service keeps it: until it expires, or as late as it may be."""
        if delivery.expires_at_ms is None:
            return self._ttl_s
        return (delivery.expires_at_ms - self._now_ms()) // 1000

    def _of(self, contact: Contact) -> _Opened:
        return self._opened(contact.address, msgpack.packb(contact.data))

    def _open(self, address: str, packed: bytes) -> _Opened:
        """Return what is to be sent where; read once for each content of a contact."""
        try:
            data = read_web_push_data(msgpack.unpackb(packed))
        except InvalidContact as error:
            return _Opened(Attempt("permanent", "invalid", str(error)))
        try:
            endpoint = self._guard.endpoint(address)
        except InvalidEndpoint as error:
            return _Opened(Attempt("permanent", "blocked", error.message), data)
        audience = f"{endpoint.scheme}://{endpoint.authority}"
        return _Opened(endpoint, data, endpoint.origin, audience)


def open_vapid(name: str, channel: WebPushChannel) -> Vapid:
    """Return what signs for a channel; raise `ConfigurationError` for keys that do not fit."""
    private = channel.private_key.get_secret_value() if channel.private_key else ""
    try:
        return Vapid(VapidKeys(channel.public_key, private), channel.subject)
    except ValueError as error:
        raise ConfigurationError(f"channels.{name}.private_key: {error}") from None


def _judged(attempt: Attempt) -> Attempt:
    """Return an attempt as push services mean their statuses; what they write is not kept."""
    known = _REFUSED.get(attempt.status or 0)
    if known is None:
        return attempt._replace(response="")
    detail = f"it answered {attempt.status}: {known.detail}"
    return known._replace(
        detail=detail, status=attempt.status, retry_after_ms=attempt.retry_after_ms
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
