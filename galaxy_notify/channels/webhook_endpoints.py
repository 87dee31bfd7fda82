"""The endpoints of all users: added, listed, given new secrets, enabled and disabled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import time_ns
from typing import Any, Final

from galaxy_notify.channels.webhook_endpoint import (
    NewEndpoint,
    UserEndpoints,
    WebhookEndpoint,
    endpoint_id,
)
from galaxy_notify.contacts.book import UserContacts, remove_flow
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.contact_input import check_channel, read_contact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.webhook_data import (
    WebhookData,
    WebhookSecret,
    check_webhook_data,
    read_webhook_data,
)
from galaxy_notify.errors import ConfigurationError, Corrupt, InvalidContact
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.attempts import MOST_ATTEMPTS, EndpointAttempt, attempts_flow
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import WebhookChannel
from galaxy_notify.webhooks.signature import new_secret

#: How long requests have the signature of the old secret, too, after it was replaced.
ROTATION_MS: Final = 86_400_000
#: Of secrets that were replaced in that time, only the newest is still used.
_MOST_OLD: Final = 1
#: What is said of an endpoint that an operator, or its owner, has disabled.
BY_HAND: Final = "disabled by hand"


class WebhookEndpoints:
    """The stored endpoints of all users.

    Every flow raises `RedisFault`, and one that changes something `Unavailable` where it met too
    many other changes. Those that take an endpoint's id return None where there is no such one, and
    raise `InvalidContact` where it cannot be decrypted.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int] | None = None) -> None:
        """Prepare; *now_ms* is a clock for tests.

        Raises `ConfigurationError` where contacts cannot be stored, and without a channel of kind
        webhook.
        """
        self._book = open_book(settings)
        self._channels = {
            name: channel
            for name, channel in settings.channels.items()
            if isinstance(channel, WebhookChannel)
        }
        if not self._channels:
            raise ConfigurationError("channels: none of them is of kind webhook")
        self._now_ms = now_ms or _now_ms

    def channel(self, name: object = None) -> str:
        """Return a channel of kind webhook: this one, or the only one. Raises `InvalidContact`."""
        only = next(iter(self._channels)) if len(self._channels) == 1 else ""
        return check_channel(only if name is None else name, self._channels)

    def of(self, key_space: KeySpace, user: str) -> Flow[UserEndpoints]:
        """Return all endpoints of a user."""
        found = yield from self._book.all_of(key_space, user)
        mine = [one for one in found.contacts if one.channel in self._channels]
        unreadable = [one for one in found.unreadable if one.channel in self._channels]
        return UserEndpoints(user, [WebhookEndpoint(user, one) for one in mine], unreadable)

    def find(self, key_space: KeySpace, user: str, name: str) -> Flow[WebhookEndpoint | None]:
        """Return an endpoint of a user."""
        found = yield from self._book.all_of(key_space, user)
        place = self._place(found, user, name)
        if place is None:
            return None
        (contact,) = (one for one in found.contacts if (one.channel, one.id) == place[1:])
        return WebhookEndpoint(user, contact)

    def attempts(
        self, key_space: KeySpace, user: str, name: str, limit: int = MOST_ATTEMPTS
    ) -> Flow[list[EndpointAttempt] | None]:
        """Return the last attempts at an endpoint, newest first."""
        found = yield from self._book.all_of(key_space, user)
        place = self._place(found, user, name)
        if place is None:
            return None
        keys, endpoint = key_space.keys_of_user(user), f"{place.channel}/{place.id}"
        return (yield from attempts_flow(keys, user, endpoint, limit))

    def add(self, key_space: KeySpace, wanted: NewEndpoint) -> Flow[WebhookEndpoint]:
        """Add an endpoint and return it with its secret, which is not shown again.

        Whether its URL is allowed is not checked here. Raises `InvalidContact`.
        """
        secret = new_secret()
        data = {"types": wanted.types, "headers": wanted.headers, "secrets": [{"secret": secret}]}
        given = {
            "channel": self.channel(wanted.channel or None),
            "address": wanted.url,
            "id": endpoint_id(wanted.user),
            "data": _checked(data),
        }
        contact = read_contact(given, self._channels)
        added = yield from self._book.add(key_space, wanted.user, contact)
        return WebhookEndpoint(wanted.user, added, secret)

    def rotate(
        self, key_space: KeySpace, user: str, name: str, *, at_once: bool = False
    ) -> Flow[WebhookEndpoint | None]:
        """Give an endpoint a new secret, and return it with that, which is not shown again.

        For `ROTATION_MS` requests are signed with the old secret as well; not if *at_once*.
        """
        secret, now_ms = new_secret(), self._now_ms()

        def rotated(now: Contact) -> Contact:
            data = read_webhook_data(now.data)
            old = () if at_once else _leaving(data.secrets, now_ms)
            used = WebhookData(secrets=(WebhookSecret(secret), *old)).as_data()
            return replace(now, data={**now.data, "secrets": used["secrets"]})

        found = yield from self._update(key_space, user, name, rotated)
        return found and replace(found, secret=secret)

    def enable(self, key_space: KeySpace, user: str, name: str) -> Flow[WebhookEndpoint | None]:
        """Have an endpoint sent to again."""
        now_ms = self._now_ms()

        def enabled(now: Contact) -> Contact:
            if not now.is_disabled:
                return now
            data = {**now.data, "enabled_at_ms": now_ms}
            return replace(now, data=data, disabled_at_ms=None, disabled_reason="")

        return (yield from self._update(key_space, user, name, enabled))

    def disable(self, key_space: KeySpace, user: str, name: str) -> Flow[WebhookEndpoint | None]:
        """Have nothing sent to an endpoint; one that is disabled already keeps its reason."""
        at_ms = self._now_ms()

        def disabled(now: Contact) -> Contact:
            if now.is_disabled:
                return now
            return replace(now, disabled_at_ms=at_ms, disabled_reason=BY_HAND)

        return (yield from self._update(key_space, user, name, disabled))

    def remove(self, key_space: KeySpace, user: str, name: str) -> Flow[bool]:
        """Remove an endpoint, readable or not; return whether it was there."""
        removed = 0
        for channel in self._channels:
            removed += yield from remove_flow(key_space, user, [name], channel)
        return bool(removed)

    def _update(
        self, key_space: KeySpace, user: str, name: str, change: Callable[[Contact], Contact]
    ) -> Flow[WebhookEndpoint | None]:
        found = yield from self._book.all_of(key_space, user)
        place = self._place(found, user, name)
        if place is None:
            return None
        try:
            after = yield from self._book.update(key_space, place, change)
        except Corrupt as error:
            raise _unreadable(str(error)) from None
        return WebhookEndpoint(user, after) if after else None

    def _place(self, found: UserContacts, user: str, name: str) -> ContactPlace | None:
        for one in found.unreadable:
            if one.id == name and one.channel in self._channels:
                raise _unreadable(one.reason)
        for contact in found.contacts:
            if contact.id == name and contact.channel in self._channels:
                return ContactPlace(user, contact.channel, name)
        return None


def _checked(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a new endpoint; raise `InvalidContact` with a field of `NewEndpoint`."""
    try:
        return check_webhook_data(data).as_data()
    except InvalidContact as error:
        raise InvalidContact(error.field.removeprefix("data."), error.message, error.code) from None


def _leaving(secrets: Sequence[WebhookSecret], now_ms: int) -> list[WebhookSecret]:
    """Return the secrets that are still used when there is a new one, each with its end."""
    end = now_ms + ROTATION_MS
    used = [one for one in secrets if one.until_ms is None or now_ms < one.until_ms]
    return [WebhookSecret(one.secret, min(end, one.until_ms or end)) for one in used[:_MOST_OLD]]


def _unreadable(reason: str) -> InvalidContact:
    return InvalidContact("id", f"the endpoint cannot be decrypted: {reason}", "conflict")


def _now_ms() -> int:
    return time_ns() // 1_000_000
