"""The environment of a server that we start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What the server's environment must not hold: our settings (passwords), systemd's socket.
_PRIVATE: Final = ("GALAXY_NOTIFY_", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY")


def server_environ(environ: Mapping[str, str], *further: str) -> dict[str, str]:
    """Return the variables without those that are ours alone, or that begin with *further*."""
    return {k: v for k, v in environ.items() if not k.startswith((*_PRIVATE, *further))}
