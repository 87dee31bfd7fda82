"""Stored contacts, as the settings name their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.contacts import StoredContact, contacts_flow

if TYPE_CHECKING:
    import redis.asyncio

    from galaxy_notify.contacts.book import ContactBook, UserContacts
    from galaxy_notify.contacts.contacts import Contacts
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.redis_state.shared_settings import KeySpace
    from galaxy_notify.settings import Settings

_INSTALL: Final = "contacts need more packages: pip install 'galaxy-notify[channels]'"
#: What is shown of a contact that cannot be decrypted.
_NOTHING: Final = dict.fromkeys(
    ("address", "data", "created_at_ms", "disabled_at_ms", "disabled_reason")
)


def open_book(settings: Settings) -> ContactBook:
    """Return the stored contacts of all users; nothing is sent.

    Raises `ConfigurationError` without ``contacts.keys``, with ``contacts.lookup``, and where the
    extra is not installed.
    """
    with _extra():
        from galaxy_notify.contacts.book import ContactBook
    return ContactBook(settings)


def open_contacts(client: redis.asyncio.Redis, key_space: KeySpace, settings: Settings) -> Contacts:
    """Return the contacts of all users, stored or looked up; nothing is sent.

    Raises `ConfigurationError` without ``contacts.keys`` and ``contacts.lookup``, where the lookup
    cannot be used, and where the extra is not installed.
    """
    with _extra():
        from galaxy_notify.contacts.contacts import Contacts
    return Contacts(client, key_space, settings)


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where an import lacks it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise ConfigurationError(_INSTALL) from None


def documents(
    found: UserContacts, settings: Settings, *, masked: bool = False
) -> list[dict[str, Any]]:
    """Return what the command line and the HTTP API show of each contact of a user.

    *unreadable* says why a contact cannot be decrypted; nothing else is known of it then.
    """
    shown = [{**one.as_json(masked=masked), "unreadable": None} for one in found.contacts]
    shown += [_unreadable(one.channel, one.id, settings, one.reason) for one in found.unreadable]
    return sorted(shown, key=lambda one: (one["channel"], one["id"]))


def shown_contacts(settings: Settings, deployment: Deployment, user: str) -> list[dict[str, Any]]:
    """Return a user's contacts masked, whether these settings can decrypt them or not.

    Raises `RedisFault`.
    """
    try:
        book = open_book(settings)
    except ConfigurationError as error:
        flow = contacts_flow(deployment.key_space.keys_of_user(user), user)
        stored: Sequence[StoredContact] = run_flow_sync(deployment.client, flow)
        return [_unreadable(one.channel, one.id, settings, str(error)) for one in stored]
    found = run_flow_sync(deployment.client, book.all_of(deployment.key_space, user))
    return documents(found, settings, masked=True)


def _unreadable(channel: str, name: str, settings: Settings, reason: str) -> dict[str, Any]:
    found = settings.channels.get(channel)
    named = {"id": name, "channel": channel, "kind": found.kind if found else ""}
    return {**named, **_NOTHING, "unreadable": reason}
