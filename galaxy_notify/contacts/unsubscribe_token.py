"""The token of a link to unsubscribe: it names one contact, and only we could have written it.

It does not expire: an e-mail may be opened years later. It is signed with a key that is derived
from one of ``contacts.keys``, and stays good while that key is among them.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

import msgpack

from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.settings.contacts import ContactKey

_PURPOSE: Final = b"galaxy-notify unsubscribe 1"
_DIGEST_BYTES: Final = 20
_LONGEST: Final = 2048


def unsubscribe_token(place: ContactPlace, key: ContactKey) -> str:
    """Return the token of a contact; it can stand in a URL as it is."""
    packed: bytes = msgpack.packb(list(place))
    return urlsafe_b64encode(_signature(key, packed) + packed).decode().rstrip("=")


def read_unsubscribe_token(token: str, keys: Sequence[ContactKey]) -> ContactPlace | None:
    """Return the contact that a token names; None for one that was not signed with these keys."""
    if len(token) > _LONGEST or not token.isascii():
        return None
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    signature, packed = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if not any(hmac.compare_digest(_signature(key, packed), signature) for key in keys):
        return None
    return ContactPlace(*msgpack.unpackb(packed))


def _signature(key: ContactKey, packed: bytes) -> bytes:
    derived = hmac.digest(key.secret, _PURPOSE, hashlib.sha256)
    return hmac.digest(derived, packed, hashlib.sha256)[:_DIGEST_BYTES]
