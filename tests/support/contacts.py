"""Keys and channels for tests of contacts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

HOOK = "https://example.com/hooks/path"
EMAIL = "ann@example.com"
WEBHOOK_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
SECRETS = [{"secret": WEBHOOK_SECRET, "until_ms": None}]
HOOKED = {"channel": "hooks", "address": HOOK, "data": {"secrets": SECRETS}}
#: Channels of a deployment with a webhook and a channel of one's own.
CHANNELS: dict[str, dict[str, Any]] = {
    "hooks": {"kind": "webhook"},
    "mine": {"kind": "tests.support.contacts:send"},
}


async def send(_delivery: object) -> None:
    """Stand in for a channel of one's own."""


def key(name: str = "k1", byte: int = 1) -> str:
    """Return an entry of contacts.keys."""
    return f"{name}:{b64encode(bytes([byte]) * 32).decode()}"


def sections(*keys: str, **contacts: Any) -> dict[str, dict[str, Any]]:
    """Return the sections of a deployment that stores contacts under these keys."""
    return {
        "worker": {"channels": ["push", *CHANNELS]},
        "contacts": {"keys": list(keys or (key(),)), **contacts},
        "channels": CHANNELS,
    }


def variables(*keys: str) -> dict[str, str]:
    """Return the same as environment variables."""
    found = {"WORKER__CHANNELS": ",".join(["push", *CHANNELS])}
    found |= {f"CHANNELS__{name.upper()}__KIND": kind["kind"] for name, kind in CHANNELS.items()}
    return found | {"CONTACTS__KEYS": ",".join(keys or (key(),))}


def toml_settings() -> dict[str, Any]:
    """Return the same as ``section__field`` of a settings file."""
    found: dict[str, Any] = {"worker__channels": ["push", *CHANNELS], "contacts__keys": [key()]}
    return found | {f"channels.{name}__kind": kind["kind"] for name, kind in CHANNELS.items()}
