"""Who does something at this command line, as the history of a route tells it."""

from __future__ import annotations

import os
import pwd
import socket
from typing import Final

_KEPT: Final = 64


def actor() -> str:
    """Return ``cli:<user>@<host>`` of the operating system, in printable ASCII."""
    return f"cli:{_clean(_user())}@{_clean(socket.gethostname())}"


def _user() -> str:
    # Not the environment's word for it: this goes into an audit.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _clean(name: str) -> str:
    return "".join(c for c in name if c.isascii() and c.isprintable())[:_KEPT].strip() or "unknown"
