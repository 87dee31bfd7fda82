"""Signatures of webhooks, as Standard Webhooks 1.0 has them: HMAC-SHA256, ``v1``."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as random
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Final

from galaxy_notify.errors import InvalidSignature

_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
_USUAL_BYTES: Final = range(24, 65)
_VERSION: Final = "v1,"
_ID_DIGITS: Final = 32
#: A point ends the id in what is signed, so an id with one could be read in two ways.
_VALID_ID: Final = re.compile(r"[!-\-/-~]{1,256}")
_VALID_TIMESTAMP: Final = re.compile(r"[0-9]{1,15}")


def new_secret() -> str:
    """Return a random secret: ``whsec_`` and 32 bytes in base64."""
    return _PREFIX + b64encode(random.token_bytes(_SECRET_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Raise `ValueError`, which does not show it, for what is no secret of an endpoint.

    It is ``whsec_`` and the base64 of 24 to 64 bytes.
    """
    if not secret.startswith(_PREFIX) or len(_key(secret)) not in _USUAL_BYTES:
        few, many = _USUAL_BYTES[0], _USUAL_BYTES[-1]
        raise ValueError(f"must be {_PREFIX} and base64 of {few} to {many} bytes")


def message_id(event_id: str) -> str:
    """Return the id under which the event is sent: the same in each attempt, without a point."""
    return f"msg_{hashlib.sha256(event_id.encode()).hexdigest()[:_ID_DIGITS]}"


def signed_headers(
    secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of an attempt that begins at *timestamp_s* (Unix time).

    While a secret is replaced, *secrets* are the new and the old one: the request is signed with
    each, so it is valid for a receiver that has either. Raises `ValueError` if a secret is not
    ``whsec_`` and base64, or if there is none.
    """
    if not secrets:
        raise ValueError("a webhook is never sent unsigned: give a secret")
    content = _content(message_id, str(timestamp_s), body)
    entries = [f"{_VERSION}{_digest(_key(secret), content).decode()}" for secret in secrets]
    return {_ID: message_id, _TIMESTAMP: str(timestamp_s), _SIGNATURE: " ".join(entries)}


def verify(
    secret: str, headers: Mapping[str, str], body: bytes | str, tolerance_s: float = 300
) -> str:
    """Return the id of a webhook that is signed with the secret; raise `InvalidSignature` if not.

    *secret* is the one that the endpoint has, ``whsec_`` and base64. *headers* are those of the
    request, in any case. *body* is the request's, byte for byte: not parsed and written again. A
    request is refused if it was signed more than *tolerance_s* seconds before or after now; with
    0 its time is not checked.

    The id is the same in each attempt: a receiver that has handled it answers 200 and does
    nothing.
    """
    found = _named(headers)
    name, timestamp = found[_ID], found[_TIMESTAMP]
    if not _VALID_ID.fullmatch(name):
        raise InvalidSignature(f"{_ID}: not the id of a webhook")
    _check_time(timestamp, tolerance_s)
    expected = _digest(_receivers_key(secret), _content(name, timestamp, _as_bytes(body)))
    given = (entry[len(_VERSION) :] for entry in found[_SIGNATURE].split() if _is_v1(entry))
    if not any([hmac.compare_digest(expected, each.encode()) for each in given]):
        raise InvalidSignature(f"{_SIGNATURE}: no {_VERSION[:-1]} signature with this secret")
    return name


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the three headers; raise if one is missing, repeated or not ASCII."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower not in (_ID, _TIMESTAMP, _SIGNATURE):
            continue
        if lower in found:
            raise InvalidSignature(f"{lower}: is there twice")
        if not value.isascii():
            raise InvalidSignature(f"{lower}: is not ASCII")
        found[lower] = value
    for name in (_ID, _TIMESTAMP, _SIGNATURE):
        if not found.get(name):
            raise InvalidSignature(f"{name}: is missing")
    return found


def _check_time(timestamp: str, tolerance_s: float) -> None:
    if not _VALID_TIMESTAMP.fullmatch(timestamp):
        raise InvalidSignature(f"{_TIMESTAMP}: not seconds since 1970")
    if tolerance_s < 0:
        raise ValueError("tolerance_s: must not be negative")
    if tolerance_s and abs(time.time() - int(timestamp)) > tolerance_s:
        raise InvalidSignature(f"{_TIMESTAMP}: more than {tolerance_s:g} s before or after now")


def _receivers_key(secret: str) -> bytes:
    try:
        return _key(secret)
    except ValueError as error:
        raise InvalidSignature(f"secret: {error}") from None


def _key(secret: str) -> bytes:
    """Return the bytes of a secret; raise `ValueError` that does not show it."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (NotBase64, ValueError):
        raise ValueError(f"must be {_PREFIX} and base64") from None
    if not key:
        raise ValueError("must not be empty")
    return key


def _content(name: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (name.encode(), timestamp.encode(), body)


def _digest(key: bytes, content: bytes) -> bytes:
    return b64encode(hmac.digest(key, content, "sha256"))


def _is_v1(entry: str) -> bool:
    return entry.startswith(_VERSION)


def _as_bytes(body: bytes | str) -> bytes:
    if not isinstance(body, str):
        return body
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise InvalidSignature("body: is not text that can be sent") from None
