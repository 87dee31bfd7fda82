"""What the link of an e-mail does: its owner wants nothing more at that address."""

from __future__ import annotations

from dataclasses import replace
from time import time_ns
from typing import TYPE_CHECKING

from galaxy_notify.contacts.contact import UNSUBSCRIBED, Contact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.flows import Flow

if TYPE_CHECKING:
    from galaxy_notify.contacts.book import ContactBook
    from galaxy_notify.contacts.sealing import ContactPlace
    from galaxy_notify.redis_state.shared_settings import KeySpace
    from galaxy_notify.settings import Settings


def linked_contact(settings: Settings, token: str) -> ContactPlace | None:
    """Return the contact that a link names; None for an invalid token.

    Raises `ConfigurationError` where this deployment stores no contacts.
    """
    open_book(settings)  # also says what to install
    from galaxy_notify.contacts.unsubscribe_token import read_unsubscribe_token

    return read_unsubscribe_token(token, settings.contacts.current_keys())


def unsubscribe_flow(book: ContactBook, key_space: KeySpace, place: ContactPlace) -> Flow[bool]:
    """Disable a contact for its owner, and return whether it is there.

    This reason replaces any other: what enables a contact that failed must not enable this one.
    Raises as `ContactBook.update`.
    """
    at_ms = time_ns() // 1_000_000

    def left(now: Contact) -> Contact:
        if now.disabled_reason == UNSUBSCRIBED:
            return now
        return replace(now, disabled_at_ms=at_ms, disabled_reason=UNSUBSCRIBED)

    return (yield from book.update(key_space, place, left)) is not None
