"""The kind ``webhook``: signed requests to the endpoints of users."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgpack
import redis.asyncio

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.attempt_recorder import AttemptRecorder
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endpoint import Endpoint
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.webhook_data import WebhookData, read_webhook_data
from galaxy_notify.errors import InvalidContact, InvalidEndpoint
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_state.attempts import WORN_MS, EndpointAttempt, failing_since_flow
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings.channel_kinds import WebhookChannel
from galaxy_notify.webhooks.signature import message_id, signed_headers

#: Endpoints whose contact is kept as it was read.
_MOST_OPENED: Final = 2048
_json: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


class _Opened(NamedTuple):
    """A contact as it was read. In place of an endpoint: the attempt that says why there is none.

    Data that cannot be read is as empty.
    """

    endpoint: Endpoint | Attempt
    data: WebhookData = WebhookData()
    origin: str = ""


class WebhookKind:
    """Sends for a channel of kind ``webhook``, in one event loop; `close` it at the end.

    Every attempt is recorded for the owner of its endpoint, beside the sends. One that fails where
    its endpoint did nothing else for `WORN_MS` is returned as ``gone``.
    """

    has_contacts: Final = True

    def __init__(
        self,
        name: str,
        settings: WebhookChannel,
        client: redis.asyncio.Redis,
        key_space: KeySpace,
        *,
        sender: WebhookSender | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Prepare; *sender* and the clock *now_ms* are for tests."""
        self._name = name
        self._guard = Guard(settings.allow, settings.ports, require_https=settings.require_https)
        self._sender = sender or WebhookSender(self._guard)
        self._client = client
        self._key_space = key_space
        self._recorder = AttemptRecorder(name, client, key_space)
        self._now_ms = now_ms or _now_ms
        self._opened = lru_cache(_MOST_OPENED)(self._open)
        self._last: tuple[LiveEvent | None, bytes] = (None, b"")

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return the endpoints that want events of this type.

        One that cannot be sent to is among them: the attempt says why. It shares no host's limits.
        """
        now_ms = self._now_ms()
        found = []
        for contact in contacts:
            _, data, origin = self._of(contact)
            if data.wants(event.type):
                found.append(Target(contact, origin if data.valid_secrets(now_ms) else ""))
        return found

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Send to one endpoint, and record what became of it; see `Kind.send`."""
        if target.contact is None:
            raise ValueError("a webhook is sent to a contact")
        at_ms, began = self._now_ms(), time.monotonic()
        opened = self._of(target.contact)
        attempt = await self._attempt(delivery, opened, at_ms, deadline)
        took_ms = int((time.monotonic() - began) * 1000)
        if attempt.outcome in ("transient", "permanent"):
            attempt = await self._worn(delivery.user_id, target.id, opened.data, attempt)
        self._record(delivery, target, attempt, (at_ms, took_ms))
        return attempt

    async def close(self) -> None:
        """Close what is kept open, and record what was sent."""
        await self._sender.close()
        await self._recorder.close()

    async def _attempt(
        self, delivery: Delivery, opened: _Opened, at_ms: int, deadline: float
    ) -> Attempt:
        endpoint, data, _ = opened
        if isinstance(endpoint, Attempt):
            return endpoint
        secrets = data.valid_secrets(at_ms)
        if not secrets:
            return Attempt("permanent", "unsigned", "without a valid secret nothing is sent")
        body = self._body_of(delivery.event)
        signed = signed_headers(secrets, message_id(delivery.event_id), at_ms // 1000, body)
        return await self._sender.send(endpoint, body, {**data.headers, **signed}, deadline)

    async def _worn(
        self, user: str, contact_id: str, data: WebhookData, attempt: Attempt
    ) -> Attempt:
        """Return a failed attempt; as ``gone`` where the endpoint has failed for too long."""
        place = self._place(contact_id)
        if not self._recorder.seemed_worn(user, place):
            return attempt
        keys = self._key_space.keys_of_user(user)
        try:
            since = await run_flow(self._client, failing_since_flow(keys, user, place))
        except RedisFault:
            return attempt
        if since is None or self._now_ms() - max(since, data.enabled_at_ms) < WORN_MS:
            return attempt
        days = WORN_MS // 86_400_000
        detail = f"nothing but failures for {days} days; the last one: {attempt.detail}"
        return attempt._replace(outcome="gone", gone_as="failing", detail=detail)

    def _record(
        self, delivery: Delivery, target: Target, attempt: Attempt, times_ms: tuple[int, int]
    ) -> None:
        at_ms, took_ms = times_ms
        recorded = EndpointAttempt(
            at_ms,
            delivery.event_id,
            delivery.type,
            delivery.attempt,
            attempt.outcome,
            attempt.reason,
            attempt.status,
            took_ms,
            attempt.response,
            attempt.detail,
        )
        self._recorder.add(delivery.user_id, self._place(target.id), recorded)

    def _place(self, contact_id: str) -> str:
        return f"{self._name}/{contact_id}"

    def _body_of(self, event: LiveEvent) -> bytes:
        """Return the event as JSON; several endpoints of a user are sent the same bytes."""
        known, body = self._last
        if known is not event:
            body = _json(event.document()).encode()
            self._last = (event, body)
        return body

    def _of(self, contact: Contact) -> _Opened:
        return self._opened(contact.address, msgpack.packb(contact.data))

    def _open(self, address: str, packed: bytes) -> _Opened:
        """Return what is to be sent where; read once for each content of a contact."""
        try:
            data = read_webhook_data(msgpack.unpackb(packed))
        except InvalidContact as error:
            return _Opened(Attempt("permanent", "invalid", str(error)))
        try:
            endpoint = self._guard.endpoint(address)
        except InvalidEndpoint as error:
            return _Opened(Attempt("permanent", "blocked", error.message), data)
        return _Opened(endpoint, data, endpoint.origin)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
