"""Every error galaxy-notify raises on purpose.

GalaxyNotifyError
├── Invalid                    what was handed in was refused; names the field
│   ├── InvalidIntent          an intent
│   ├── InvalidPreference      a user's preferences
│   └── InvalidQuery           what somebody wants to see
├── ConfigurationError         a setting is wrong, or does not fit the deployment (exit 78)
├── Unavailable                Redis did not answer in time, or cannot serve just now
├── Corrupt                    a stored record or state cannot be read
├── StreamRefused              the stream takes nothing (wrong type, ids exhausted, permission)
└── TransientEncodingError     an encoder asks for another attempt
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class GalaxyNotifyError(Exception):
    """The base of all errors of this package."""


class Invalid(GalaxyNotifyError):
    """What was handed in was refused; ``field`` says where, ``message`` why, ``code`` the kind.

    ``code`` is ``invalid``, ``conflict`` or ``too_large``.
    """

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message
        self.code = code


class InvalidIntent(Invalid):
    """An intent was refused."""


class InvalidPreference(Invalid):
    """A user's preferences were refused."""


class InvalidQuery(Invalid):
    """What somebody wants to see cannot be asked for."""


class ConfigurationError(GalaxyNotifyError):
    """A setting is wrong, or does not fit the deployment it meets."""


class Unavailable(GalaxyNotifyError):
    """Redis did not answer in time, or cannot serve just now; nothing is known to be lost.

    After an accept, ``notification_id`` is the id to repeat it with. After an accept of many,
    ``receipts`` has one entry for each intent, None where the outcome is unknown.
    """

    def __init__(
        self,
        message: str,
        notification_id: str | None = None,
        receipts: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.notification_id = notification_id
        self.receipts = receipts


class Corrupt(GalaxyNotifyError):
    """A stored record or state cannot be read."""


class StreamRefused(GalaxyNotifyError):
    """The gateway stream takes nothing: wrong type, ids exhausted or no permission."""


class TransientEncodingError(GalaxyNotifyError):
    """An encoder raises it to ask for another attempt; any other exception is permanent."""
