"""The contacts of users in Redis: one hash for each user, on the user's own shard.

A field is ``<channel>/<id>``; what it holds is encrypted, and only the room `contacts` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.flows import Flow, unwrap, unwrap_or
from galaxy_notify.redis_client.replies import pairs, reader, text
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.keys import Keys, keys_with

#: Contacts that a user may have of a channel.
MOST_CONTACTS: Final = 20
#: What a contact must hold where it may hold anything, or nothing.
ANYTHING: Final = b"*"
#: Contacts of a user that are looked at; more of them are refused.
_LONGEST: Final = 4096
#: Keys that a page of all users looks at.
_COUNT: Final = 256


class StoredContact(NamedTuple):
    """A contact as it is stored: its channel, its id, and its encrypted value."""

    channel: str
    id: str
    value: bytes


class ContactChange(NamedTuple):
    """The new value of a contact, empty to remove it, and what it must hold for that."""

    channel: str
    id: str
    value: bytes
    expected: bytes = ANYTHING


def contact_change(
    keys: Keys, user: str, changes: Iterable[ContactChange], whole: Iterable[str] = ()
) -> ScriptCall:
    """Change contacts of a user, and remove all others of the channels in *whole*.

    Nothing is changed where a contact does not hold what it must.
    """
    channels = "".join(f" {channel} " for channel in whole)
    args: list[Argument] = [MOST_CONTACTS, _LONGEST, channels]
    for change in changes:
        args += (f"{change.channel}/{change.id}", change.expected, change.value)
    return ScriptCall(script("contact_change"), [keys.contacts(user), keys.never], args)


@reader
def read_changed(reply: Any) -> Answer:
    """Read the answer to `contact_change`."""
    (answer,) = calls.answers(reply, 1)
    return answer


def contacts_flow(keys: Keys, user: str) -> Flow[list[StoredContact]]:
    """Return all contacts of a user, in order; none where the key has another type.

    Raises `RedisFault`.
    """
    (reply,) = yield [Command(["HGETALL", keys.contacts(user)])]
    return read_contacts(unwrap_or(reply, []))


@reader
def read_contacts(reply: Any) -> list[StoredContact]:
    """Read what HGETALL answers."""
    found = [(*text(field).partition("/")[::2], value) for field, value in pairs(reply).items()]
    return sorted(StoredContact(*one) for one in found)


class ContactsPage(NamedTuple):
    """Users who have contacts, and where the next page begins: ``0`` after the last one."""

    cursor: str
    users: Sequence[str]


def users_page(keys: Keys, cursor: str) -> Command:
    """Return the command that reads a page of the users of a shard who have contacts.

    It names no key: in a cluster the server of the shard is to be asked.
    """
    return Command(["SCAN", cursor, "MATCH", keys_with(keys.contacts("")), "COUNT", _COUNT])


@reader
def read_users_page(keys: Keys, reply: Any) -> ContactsPage:
    """Read the answer to `users_page`."""
    cursor, names = unwrap(reply)
    prefix = keys.contacts("")
    users = dict.fromkeys(text(name)[len(prefix) :] for name in names)
    return ContactsPage(text(cursor), list(users))
