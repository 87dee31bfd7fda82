"""Subscriptions of browsers, with the keys that decrypt what they are sent."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from galaxy_notify.settings.channel_kinds import WebPushChannel
from tests.support.settings import NEEDED

#: The keys of a channel, as its settings have them.
KEYS: dict[str, Any] = NEEDED["web_push"]


def settings_of(**fields: Any) -> WebPushChannel:
    """Return the settings of a channel, with these fields."""
    return WebPushChannel(**{**KEYS, **fields})


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def private_key(text: str) -> EllipticCurvePrivateKey:
    """Return the key of a scalar in base64url."""
    return derive_private_key(int.from_bytes(decoded(text)), SECP256R1())


def point(key: EllipticCurvePrivateKey) -> bytes:
    """Return the public key as browsers write it."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def audience(authorization: str) -> str:
    """Return for which push service a token is."""
    found: str = json.loads(decoded(authorization.split(".")[1]))["aud"]
    return found


class Browser:
    """A browser that has subscribed."""

    def __init__(self, key: EllipticCurvePrivateKey | None = None, auth: bytes = b"") -> None:
        self.key = key or generate_private_key(SECP256R1())
        self.auth = auth or os.urandom(16)

    @property
    def p256dh(self) -> bytes:
        """Its public key."""
        return point(self.key)

    @property
    def keys(self) -> dict[str, str]:
        """The ``keys`` of its subscription."""
        return {"p256dh": encoded(self.p256dh), "auth": encoded(self.auth)}

    def decrypted(self, body: bytes) -> bytes:
        """Return the content of a message, by a library that shares no code with ours."""
        content: bytes = http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth)
        return content


#: The browser of RFC 8291, section 5.
EXAMPLE = Browser(
    private_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), decoded("BTBZMqHH6r4Tts7J_aSIgg")
)
