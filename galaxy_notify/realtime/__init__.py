"""The real-time gateway: what comes out of the gateway stream, at the right connection.

`Streams` does that in the event loop of an application, and `Presence` says who is connected.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxy_notify.errors import StreamClosed
    from galaxy_notify.realtime.presence import Presence, Registration
    from galaxy_notify.realtime.streams import Streams
    from galaxy_notify.realtime.user_stream import StreamEvent, UserStream

__all__ = ["Presence", "Registration", "StreamClosed", "StreamEvent", "Streams", "UserStream"]

# Loaded on first use: neither needs what a process that listens needs.
_HOMES = {
    "Presence": "galaxy_notify.realtime.presence",
    "Registration": "galaxy_notify.realtime.presence",
    "StreamClosed": "galaxy_notify.errors",
    "StreamEvent": "galaxy_notify.realtime.user_stream",
    "Streams": "galaxy_notify.realtime.streams",
    "UserStream": "galaxy_notify.realtime.user_stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
