"""What the contact of a browser holds besides its endpoint: what encrypts messages for it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from galaxy_notify.errors import InvalidContact
from galaxy_notify.model.json_data import kind_of, printable
from galaxy_notify.model.refusals import shown

_NAMES: Final = ("auth", "key_id", "p256dh")
_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")
#: Base64, as browsers write it; some libraries write the other alphabet.
_BASE64: Final = re.compile(r"[A-Za-z0-9_+/-]{1,200}={0,2}")


@dataclass(frozen=True, slots=True)
class WebPushData:
    """The data of a browser's subscription. Its text shows no key.

    *p256dh* is a point of P-256, *auth* a secret of 16 bytes. *key_id* names the public key with
    which the browser has subscribed; empty: that of the channel, whichever it is.
    """

    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)
    key_id: str = ""


def key_id_of(public_key: str) -> str:
    """Return the id of the public key of a channel: 16 hexadecimal digits."""
    return sha256(_decoded(public_key) or b"").hexdigest()[:16]


def read_web_push_data(data: Mapping[str, Any], at: str = "data") -> WebPushData:
    """Return what the data of a contact says; raise `InvalidContact` with the field, *at* before.

    Other names than those of this version are passed over.
    """
    return WebPushData(
        _read_point(data.get("p256dh"), f"{at}.p256dh"),
        _read_bytes(data.get("auth"), f"{at}.auth", _AUTH_BYTES),
        _read_key_id(data.get("key_id"), f"{at}.key_id"),
    )


def check_web_push_data(data: Mapping[str, Any], at: str = "data") -> WebPushData:
    """Return the data that a person or a program gives; raise `InvalidContact`.

    It has no name that is unknown here.
    """
    for name in data:
        if name not in _NAMES:
            raise InvalidContact(f"{at}.{printable(name)}", f"is not one of {', '.join(_NAMES)}")
    return read_web_push_data(data, at)


def _read_point(value: object, at: str) -> bytes:
    # Loaded here: what reads contacts of other kinds works without the extra.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    raw = _read_bytes(value, at, _POINT_BYTES)
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw)
    except ValueError:
        raise InvalidContact(at, "must be a public key of P-256, uncompressed") from None
    return raw


def _read_bytes(value: object, at: str, length: int) -> bytes:
    if not isinstance(value, str):
        raise InvalidContact(at, f"must be text, not {kind_of(value)}")
    raw = _decoded(value)
    if raw is None or len(raw) != length:
        # What it is instead may be a secret.
        raise InvalidContact(at, f"must be {length} bytes in base64url")
    return raw


def _read_key_id(value: object, at: str) -> str:
    if value is None or value == "":
        return ""
    if not (isinstance(value, str) and _KEY_ID.fullmatch(value)):
        raise InvalidContact(at, f"must be 16 hexadecimal digits, not {shown(value)}")
    return value


def _decoded(text: str) -> bytes | None:
    if not _BASE64.fullmatch(text):
        return None
    plain = text.rstrip("=").translate(str.maketrans("+/", "-_"))
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), b"-_", validate=True)
    except ValueError:
        return None
