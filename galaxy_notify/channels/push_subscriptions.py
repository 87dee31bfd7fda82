"""The subscriptions of browsers: contacts of channels of kind web_push, added by their users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from galaxy_notify.channels.guard import Guard
from galaxy_notify.contacts.book import UserContacts, remove_flow
from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.contact_input import check_channel, read_contact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.errors import ConfigurationError, InvalidContact, InvalidEndpoint, Unavailable
from galaxy_notify.model.json_data import kind_of
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.contacts import MOST_CONTACTS
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import WebPushChannel

#: How often it is tried where another call changes the same contacts.
_TRIES: Final = 8
_ID_DIGITS: Final = 32


class PushKey(NamedTuple):
    """The public key that browsers subscribe with, in base64url, and its id."""

    public_key: str
    key_id: str


class PushSubscriptions:
    """The stored subscriptions of all users.

    Every flow raises `RedisFault`, and `put` `Unavailable` where it met too many other changes.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare.

        Raises `ConfigurationError` where contacts cannot be stored, and without a channel of kind
        web_push.
        """
        self._book = open_book(settings)
        self._channels = {
            name: channel
            for name, channel in settings.channels.items()
            if isinstance(channel, WebPushChannel)
        }
        if not self._channels:
            raise ConfigurationError("channels: none of them is of kind web_push")
        self._guard = Guard()

    def channel(self, name: object = None) -> str:
        """Return a channel of kind web_push: this one, or the only one. Raises `InvalidContact`."""
        only = next(iter(self._channels)) if len(self._channels) == 1 else ""
        return check_channel(only if name is None else name, self._channels)

    def key(self, channel: str) -> PushKey:
        """Return the present public key of a channel."""
        public = self._channels[channel].public_key
        return PushKey(public, key_id_of(public))

    def read(self, body: object, channel: str) -> NewContact:
        """Return the contact of what a browser's ``PushSubscription.toJSON()`` returns.

        Its id is that of its endpoint, so a repeated one is the same. Raises `InvalidContact` with
        the field.
        """
        given = _object(body, "", ("endpoint", "expirationTime", "keys"))
        keys = _object(given.get("keys"), "keys", ("p256dh", "auth"))
        endpoint = given.get("endpoint")
        contact = {
            "channel": channel,
            "address": endpoint,
            "data": {**keys, "key_id": self.key(channel).key_id},
        }
        try:
            found = read_contact(contact, self._channels)
            self._guard.endpoint(found.address)
        except InvalidEndpoint as error:
            raise InvalidContact("endpoint", error.message, error.code) from None
        except InvalidContact as error:
            field = error.field.replace("data", "keys", 1).replace("address", "endpoint", 1)
            raise InvalidContact(field, error.message, error.code) from None
        digest = sha256(f"{channel} {found.address}".encode()).hexdigest()
        return replace(found, id=digest[:_ID_DIGITS])

    def put(self, key_space: KeySpace, user: str, wanted: NewContact) -> Flow[Contact]:
        """Store a subscription, and return it; one that was disabled is sent to again.

        Where a user has `MOST_CONTACTS` of the channel, the one that was disabled first makes room.
        Raises `InvalidContact` where none is disabled.
        """
        for _ in range(_TRIES):
            found = yield from self._book.all_of(key_space, user)
            before = _same(found, wanted)
            if before is not None:
                place = ContactPlace(user, before.channel, before.id)
                after = yield from self._book.update(key_space, place, _renewed(wanted))
                if after is not None:
                    return after
                continue
            if leaving := _leaving(found, wanted):
                yield from remove_flow(key_space, user, leaving, wanted.channel)
            try:
                return (yield from self._book.add(key_space, user, wanted))
            except InvalidContact as error:
                # With this id: it was added meanwhile.
                if error.code != "conflict" or error.field != "id":
                    raise
        raise Unavailable("the contacts of this user change too fast: try it again", code="busy")

    def remove(self, key_space: KeySpace, user: str, name: str) -> Flow[bool]:
        """Remove a subscription of a user, readable or not; return whether it was there."""
        removed = 0
        for channel in self._channels:
            removed += yield from remove_flow(key_space, user, [name], channel)
        return bool(removed)


def open_subscriptions(settings: Settings) -> PushSubscriptions | None:
    """Return the subscriptions; None for a deployment that has none, or stores no contacts."""
    has_channel = any(isinstance(one, WebPushChannel) for one in settings.channels.values())
    if not has_channel or settings.contacts.lookup or not settings.contacts.keys:
        return None
    return PushSubscriptions(settings)


def _object(value: object, field: str, known: Sequence[str]) -> Mapping[str, Any]:
    """Return an object; a later version of the interface may have more names in it."""
    if not isinstance(value, Mapping):
        raise InvalidContact(field, f"must be an object, not {kind_of(value)}")
    return {name: value[name] for name in known if name in value}


def _same(found: UserContacts, wanted: NewContact) -> Contact | None:
    """Return the contact with the same endpoint, whoever has added it."""
    return next(
        (
            one
            for one in found.contacts
            if (one.channel, one.address) == (wanted.channel, wanted.address)
        ),
        None,
    )


def _renewed(wanted: NewContact) -> Any:
    def renewed(now: Contact) -> Contact:
        return replace(now, data=wanted.data, disabled_at_ms=None, disabled_reason="")

    return renewed


def _leaving(found: UserContacts, wanted: NewContact) -> list[str]:
    """Return the ids of the contacts that make room for a new one."""
    unreadable = [one.id for one in found.unreadable if one.channel == wanted.channel]
    mine = [one for one in found.contacts if one.channel == wanted.channel]
    # One that cannot be decrypted is of no use to its browser, which has just subscribed again.
    leaving = [name for name in unreadable if name == wanted.id]
    if len(mine) + len(unreadable) - len(leaving) < MOST_CONTACTS:
        return leaving
    disabled = sorted(
        (one.disabled_at_ms, one.id) for one in mine if one.disabled_at_ms is not None
    )
    return [*leaving, *(name for _, name in disabled[:1])]
