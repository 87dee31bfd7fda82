"""galaxy-notify: notifications carried from Redis to the gateway stream."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galaxy_notify.errors import (
    AlreadyClosed,
    ConfigurationError,
    GalaxyNotifyError,
    InvalidIntent,
    InvalidPreference,
    InvalidQuery,
    Misconfigured,
    ServerRefused,
    SourceFailed,
    TransientEncodingError,
    Unavailable,
)

if TYPE_CHECKING:
    from galaxy_notify.background.notifier import BackgroundNotifier
    from galaxy_notify.background.options import BackgroundOptions
    from galaxy_notify.inspector import AsyncInspector, Inspector
    from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
    from galaxy_notify.intake.receipts import Cancelled, Receipt, Rescheduled
    from galaxy_notify.model.intent import Intent

__version__ = "0.2.0"

__all__ = [
    "AlreadyClosed",
    "AsyncInspector",
    "AsyncNotifier",
    "BackgroundNotifier",
    "BackgroundOptions",
    "Cancelled",
    "ConfigurationError",
    "GalaxyNotifyError",
    "Inspector",
    "Intent",
    "InvalidIntent",
    "InvalidPreference",
    "InvalidQuery",
    "Misconfigured",
    "Notifier",
    "Receipt",
    "Rescheduled",
    "ServerRefused",
    "SourceFailed",
    "TransientEncodingError",
    "Unavailable",
    "__version__",
]

# Loaded on first use: an encoder or a consumer that imports this package need not wait for them.
_HOMES = {
    "AsyncInspector": "galaxy_notify.inspector",
    "Inspector": "galaxy_notify.inspector",
    "AsyncNotifier": "galaxy_notify.intake.notifier",
    "Notifier": "galaxy_notify.intake.notifier",
    "BackgroundNotifier": "galaxy_notify.background.notifier",
    "BackgroundOptions": "galaxy_notify.background.options",
    "Cancelled": "galaxy_notify.intake.receipts",
    "Receipt": "galaxy_notify.intake.receipts",
    "Rescheduled": "galaxy_notify.intake.receipts",
    "Intent": "galaxy_notify.model.intent",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
