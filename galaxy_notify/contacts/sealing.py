"""Encrypts and decrypts what is stored of a contact.

AES-GCM with a random nonce. The user, the channel and the id are authenticated with it, so a value
that was copied to another contact is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from galaxy_notify.errors import Corrupt
from galaxy_notify.settings.contacts import ContactKey

_FORMAT: Final = b"1"
_NONCE_BYTES: Final = 12
_UNREADABLE: Final = (ValueError, TypeError, RecursionError, OverflowError, MemoryError)


class ContactPlace(NamedTuple):
    """Whose contact it is, and which."""

    user: str
    channel: str
    id: str


class Sealer:
    """Seals with the first of its keys, opens with any of them."""

    def __init__(self, keys: Sequence[ContactKey]) -> None:
        """Take the keys, at least one."""
        self.key_id = keys[0].id
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}

    def seal(self, place: ContactPlace, content: Mapping[str, Any]) -> bytes:
        """Return the content of a contact as it is stored."""
        nonce = os.urandom(_NONCE_BYTES)
        packed: bytes = msgpack.packb(content)
        sealed = self._ciphers[self.key_id].encrypt(nonce, packed, _bound(place))
        stored: bytes = msgpack.packb([self.key_id, nonce, sealed])
        return _FORMAT + stored

    def open(self, place: ContactPlace, stored: bytes) -> dict[str, Any]:
        """Return the content of a contact; raise `Corrupt` with the reason."""
        key_id, nonce, sealed = _parts(stored)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Corrupt(f"its key {key_id[:40]!r} is not in contacts.keys")
        try:
            content = msgpack.unpackb(cipher.decrypt(nonce, sealed, _bound(place)))
        except InvalidTag:
            raise Corrupt(f"the key {key_id!r} does not fit, or it was changed") from None
        except _UNREADABLE as error:
            raise Corrupt(f"its content is unreadable: {type(error).__name__}") from None
        if not isinstance(content, dict):
            raise Corrupt("its content is no map")
        return content


def key_id_of(stored: bytes) -> str:
    """Return the id of the key that sealed a contact; raise `Corrupt`."""
    return _parts(stored)[0]


def _parts(stored: bytes) -> tuple[str, bytes, bytes]:
    if stored[:1] != _FORMAT:
        raise Corrupt("its format is unknown: a newer version may have written it")
    try:
        key_id, nonce, sealed = msgpack.unpackb(stored[1:])
    except _UNREADABLE as error:
        raise Corrupt(f"it is unreadable: {type(error).__name__}") from None
    if (type(key_id), type(nonce), type(sealed)) != (str, bytes, bytes):
        raise Corrupt("it is unreadable: its parts are of the wrong type")
    return key_id, nonce, sealed


def _bound(place: ContactPlace) -> bytes:
    bound: bytes = msgpack.packb(list(place))
    return bound
