"""A contact: where a channel reaches a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from galaxy_notify.settings.values import MASK

#: Names of data that is never shown, wherever it stands in it.
SECRET: Final = frozenset(
    {"auth", "authorization", "headers", "keys", "password", "secret", "secrets", "token"}
)
#: The reason with which its owner has a contact disabled.
UNSUBSCRIBED: Final = "unsubscribed"
_SHOWN: Final = 2


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact that is to be stored; without an *id* it gets one."""

    channel: str
    address: str = field(repr=False)
    id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a channel reaches a user. Its *id* is unique among those of the user and channel.

    *kind* is that of the channel, empty if these settings have no such channel. A contact with
    *disabled_at_ms* is not sent to, for the reason beside it. Its text shows neither address nor
    data.
    """

    id: str
    channel: str
    kind: str
    address: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    created_at_ms: int
    disabled_at_ms: int | None = None
    disabled_reason: str = ""

    @property
    def is_disabled(self) -> bool:
        """Return whether nothing is sent to it."""
        return self.disabled_at_ms is not None

    def as_json(self, *, masked: bool = False) -> dict[str, Any]:
        """Return what the command line and the HTTP API show, of data without its secrets.

        *masked* hides the address and all data.
        """
        return {
            "id": self.id,
            "channel": self.channel,
            "kind": self.kind,
            "address": mask(self.address) if masked else self.address,
            "data": dict.fromkeys(self.data, MASK) if masked else without_secrets(self.data),
            "created_at_ms": self.created_at_ms,
            "disabled_at_ms": self.disabled_at_ms,
            "disabled_reason": self.disabled_reason or None,
        }


def mask(address: str) -> str:
    """Return an address as it may stand in logs: enough to recognize it, too little to use it."""
    if "://" in address:
        try:
            parts = urlsplit(address)
        except ValueError:
            return MASK
        return f"{parts.scheme}://{parts.hostname}/…"
    name, at, domain = address.rpartition("@")
    if at and name:
        return f"{name[0]}…@{domain}"
    return f"{address[:_SHOWN]}…" if len(address) > 2 * _SHOWN else MASK


def without_secrets(data: Any) -> Any:
    """Return data with the values of secret names masked."""
    if isinstance(data, Mapping):
        return {
            name: MASK if name.lower() in SECRET else without_secrets(value)
            for name, value in data.items()
        }
    if isinstance(data, list):
        return [without_secrets(item) for item in data]
    return data
