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
from tests.support.contacts import key
from tests.support.settings import NEEDED

#: The keys of a channel, as its settings have them.
KEYS: dict[str, Any] = NEEDED["web_push"]
#: The beginning of endpoints at a push service that there is not.
ENDPOINT = "https://push.example.com/send"


def settings_of(**fields: Any) -> WebPushChannel:
    """Return the settings of a channel, with these fields."""
    return WebPushChannel(**{**KEYS, **fields})


def push_sections(*channels: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """Return the sections of a deployment with such channels, ``push`` without a name."""
    names = channels or ("push",)
    section = {"kind": "web_push", **KEYS, **fields}
    return {
        "worker": {"channels": list(names)},
        "channels": dict.fromkeys(names, section),
        "contacts": {"keys": [key()]},
    }


def flat_sections(**fields: Any) -> dict[str, Any]:
    """Return the same as a process of a test takes them."""
    sections = push_sections(**fields)
    return {
        "worker__channels": sections["worker"]["channels"],
        "contacts__keys": sections["contacts"]["keys"],
        **{f"channels.push__{name}": value for name, value in sections["channels"]["push"].items()},
    }


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def private_key(text: str) -> EllipticCurvePrivateKey:
    """Return the key of a scalar in base64url."""
    return derive_private_key(int.from_bytes(decoded(text)), SECP256R1())


def point(private: EllipticCurvePrivateKey) -> bytes:
    """Return the public key as browsers write it."""
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def audience(authorization: str) -> str:
    """Return for which push service a token is."""
    found: str = json.loads(decoded(authorization.split(".")[1]))["aud"]
    return found


class Browser:
    """A browser that has subscribed."""

    def __init__(self, own: EllipticCurvePrivateKey | None = None, auth: bytes = b"") -> None:
        self.key = own or generate_private_key(SECP256R1())
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
