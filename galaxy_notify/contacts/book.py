"""Stored contacts: flows that read and change those of a user."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from time import time_ns
from typing import Any, Final, NamedTuple

from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.sealed_contact import opened_contact, sealed_contact
from galaxy_notify.contacts.sealing import ContactPlace, Sealer, key_id_of
from galaxy_notify.errors import ConfigurationError, Corrupt, InvalidContact, Unavailable
from galaxy_notify.redis_client.failed_calls import answer_fault, failed_call
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_state.contacts import (
    MOST_CONTACTS,
    ContactChange,
    StoredContact,
    contact_change,
    contacts_flow,
    read_changed,
)
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word
from galaxy_notify.settings import Settings

#: How often a change is made again that met another one of the same user.
_TRIES: Final = 8
_ID_BYTES: Final = 8

_sealer: Final = lru_cache(maxsize=8)(Sealer)


class UnreadableContact(NamedTuple):
    """A stored contact that cannot be decrypted, and why."""

    channel: str
    id: str
    reason: str


class UserContacts(NamedTuple):
    """All stored contacts of a user."""

    contacts: Sequence[Contact]
    unreadable: Sequence[UnreadableContact] = ()


class Rekeyed(NamedTuple):
    """How many contacts were looked at, encrypted again, and could not be decrypted."""

    contacts: int = 0
    rekeyed: int = 0
    unreadable: int = 0

    def plus(self, other: Rekeyed) -> Rekeyed:
        """Return the sum of both."""
        return Rekeyed(*(one + more for one, more in zip(self, other, strict=True)))


class ContactBook:
    """The stored contacts of all users, under the keys of ``contacts.keys``.

    The keys are read again at each call, so that they can be renewed under a process. Every flow
    raises `RedisFault`, and one that changes something `Unavailable` where it met too many other
    changes. All are safe to repeat.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int] | None = None) -> None:
        """Prepare; *now_ms* is a clock for tests.

        Raises `ConfigurationError` without keys, and where contacts are looked up elsewhere.
        """
        if settings.contacts.lookup:
            raise ConfigurationError("contacts.lookup: contacts are looked up there, not stored")
        if not settings.contacts.keys:
            raise ConfigurationError("contacts.keys: must be set to store contacts")
        self._settings = settings
        self._now_ms = now_ms or _now_ms

    def all_of(self, key_space: KeySpace, user: str) -> Flow[UserContacts]:
        """Return the contacts of a user, by channel and id."""
        stored = yield from contacts_flow(key_space.keys_of_user(user), user)
        found: list[Contact] = []
        unreadable: list[UnreadableContact] = []
        for one in stored:
            try:
                found.append(self._opened(user, one))
            except Corrupt as error:
                unreadable.append(UnreadableContact(one.channel, one.id, str(error)))
        return UserContacts(found, unreadable)

    def replace(
        self,
        key_space: KeySpace,
        user: str,
        wanted: Sequence[NewContact],
        channels: Iterable[str] = (),
    ) -> Flow[bool]:
        """Put *wanted* in place of all that the user had of their channels and of *channels*.

        An address that was there keeps its id and its time, and stays disabled if it was. Return
        whether anything changed. Raises `InvalidContact` for too many.
        """
        whole = sorted({*channels, *(contact.channel for contact in wanted)})
        return (yield from self._store(key_space, user, wanted, whole))

    def put(self, key_space: KeySpace, user: str, wanted: Sequence[NewContact]) -> Flow[bool]:
        """Store contacts beside the others of the user; else as `replace`."""
        return (yield from self._store(key_space, user, wanted, ()))

    def add(self, key_space: KeySpace, user: str, wanted: NewContact) -> Flow[Contact]:
        """Add a contact and return it; raise `InvalidContact` for one too many, or a used id."""
        keys = key_space.keys_of_user(user)
        contact = self._new(wanted)
        change = self._sealed(user, contact, b"")
        (reply,) = yield [contact_change(keys, user, [change])]
        if _done(reply) == Word.STALE:
            raise InvalidContact("id", f"{contact.id} is used already", "conflict")
        return contact

    def update(
        self,
        key_space: KeySpace,
        place: ContactPlace,
        change: Callable[[Contact], Contact],
    ) -> Flow[Contact | None]:
        """Put what *change* returns for a contact in its place; return it, None if there is none.

        *change* may be called again. Raises `Corrupt` where the contact is unreadable.
        """
        keys = key_space.keys_of_user(place.user)
        for _ in range(_TRIES):
            stored = yield from contacts_flow(keys, place.user)
            one = next((one for one in stored if one[:2] == place[1:]), None)
            if one is None:
                return None
            before = self._opened(place.user, one)
            after = change(before)
            if after == before:
                return after
            change_to = self._sealed(place.user, after, one.value)
            (reply,) = yield [contact_change(keys, place.user, [change_to])]
            if _done(reply) != Word.STALE:
                return after
        raise _contended()

    def disable(
        self, key_space: KeySpace, user: str, contact: Contact, reason: str
    ) -> Flow[Contact | None]:
        """Disable a contact as it was read; one that has another address now is left alone.

        The first reason stays.
        """
        at_ms = self._now_ms()

        def disabled(now: Contact) -> Contact:
            if now.is_disabled or now.address != contact.address:
                return now
            return replace(now, disabled_at_ms=at_ms, disabled_reason=reason)

        place = ContactPlace(user, contact.channel, contact.id)
        return (yield from self.update(key_space, place, disabled))

    def rekey(self, key_space: KeySpace, user: str) -> Flow[Rekeyed]:
        """Encrypt the contacts of a user with the first key where another one was used."""
        keys, sealer = key_space.keys_of_user(user), self._sealer()
        done = Rekeyed()
        stored = yield from contacts_flow(keys, user)
        for one in stored:
            place = ContactPlace(user, one.channel, one.id)
            try:
                content = sealer.open(place, one.value)
            except Corrupt:
                done = done.plus(Rekeyed(1, 0, 1))
                continue
            is_old = key_id_of(one.value) != sealer.key_id
            if is_old:
                sealed = sealer.seal(place, content)
                change = ContactChange(one.channel, one.id, sealed, one.value)
                (reply,) = yield [contact_change(keys, user, [change])]
                # What was changed meanwhile has the first key by that.
                is_old = _done(reply) == Word.CHANGED
            done = done.plus(Rekeyed(1, int(is_old), 0))
        return done

    def _store(
        self, key_space: KeySpace, user: str, wanted: Sequence[NewContact], whole: Sequence[str]
    ) -> Flow[bool]:
        if not (wanted or whole):
            return False
        keys = key_space.keys_of_user(user)
        for _ in range(_TRIES):
            stored = yield from contacts_flow(keys, user)
            changes = list(self._changes(user, stored, wanted))
            (reply,) = yield [contact_change(keys, user, changes, whole)]
            if (word := _done(reply)) != Word.STALE:
                return word == Word.CHANGED
        raise _contended()

    def _changes(
        self, user: str, stored: Sequence[StoredContact], wanted: Sequence[NewContact]
    ) -> Iterator[ContactChange]:
        """Yield what each contact is to be, and what it must hold for that."""
        known: dict[tuple[str, str], Contact] = {}
        values = {one[:2]: one.value for one in stored}
        for one in stored:
            try:
                known[one[:2]] = self._opened(user, one)
            except Corrupt:
                continue
        named = {(contact.channel, contact.id) for contact in wanted if contact.id}
        free = {
            (contact.channel, contact.address): contact
            for place, contact in known.items()
            if place not in named
        }
        for new in wanted:
            place = (new.channel, new.id)
            before = known.get(place) if new.id else free.get((new.channel, new.address))
            if before is not None and before.address == new.address:
                value = values[before.channel, before.id]
                if before.data == new.data:
                    yield ContactChange(before.channel, before.id, value, value)
                else:
                    yield self._sealed(user, replace(before, data=new.data), value)
            else:
                yield self._sealed(user, self._new(new), values.get(place, b""))

    def _new(self, wanted: NewContact) -> Contact:
        name = wanted.id or secrets.token_hex(_ID_BYTES)
        kind = kind_of(self._settings, wanted.channel)
        return Contact(name, wanted.channel, kind, wanted.address, wanted.data, self._now_ms())

    def _sealed(self, user: str, contact: Contact, expected: bytes) -> ContactChange:
        return sealed_contact(self._sealer(), user, contact, expected)

    def _opened(self, user: str, stored: StoredContact) -> Contact:
        kind = kind_of(self._settings, stored.channel)
        return opened_contact(self._sealer(), user, stored, kind)

    def _sealer(self) -> Sealer:
        return _sealer(self._settings.contacts.current_keys())


def remove_flow(
    key_space: KeySpace, user: str, ids: Sequence[str] = (), channel: str = ""
) -> Flow[int]:
    """Remove contacts of a user, of all channels or of one, all or those with these ids.

    Needs no key. Return how many there were. Raises `RedisFault`.
    """
    keys = key_space.keys_of_user(user)
    stored = yield from contacts_flow(keys, user)
    gone = [
        ContactChange(one.channel, one.id, b"")
        for one in stored
        if (not ids or one.id in ids) and channel in ("", one.channel)
    ]
    if gone:
        (reply,) = yield [contact_change(keys, user, gone)]
        _done(reply)
    return len(gone)


def kind_of(settings: Settings, channel: str) -> str:
    """Return the kind of a channel; empty if these settings have no such external channel."""
    found = settings.channels.get(channel)
    return found.kind if found else ""


def _done(reply: Any) -> str:
    """Return the word of a change; raise for one that was not made."""
    answer = read_changed(unwrap(reply))
    if answer.word == Word.FULL:
        message = f"a user has at most {MOST_CONTACTS} contacts of a channel"
        raise InvalidContact("", message, "too_large")
    if answer.word == Word.FOREIGN:
        message = "the Redis key of its contacts has another type: remove it"
        raise InvalidContact("user", message, "conflict")
    if answer.word not in (Word.CHANGED, Word.SAME, Word.STALE):
        text = f"Redis could not store the contacts: {answer.detail[:1000]}"
        raise failed_call(answer_fault(answer.detail, wrote_nothing=False), text)
    return answer.word


def _contended() -> Unavailable:
    return Unavailable("the contacts of this user change too fast: try it again", code="busy")


def _now_ms() -> int:
    return time_ns() // 1_000_000
