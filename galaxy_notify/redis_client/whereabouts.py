"""Which server an error came from, and as which user: noted where a connection raised it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_NOTE: Final = "_galaxy_notify_whereabouts"


class Whereabouts(NamedTuple):
    """A server (``host:port`` or the path of a socket) and the ACL user; empty where unknown."""

    server: str = ""
    user: str = ""


def note(error: BaseException, connection: Any) -> None:
    """Store on an error the server and user of its connection, without the password."""
    server = getattr(connection, "path", None) or address_of(connection)
    provider = getattr(connection, "credential_provider", None)
    user = getattr(provider, "username", None) or getattr(connection, "username", None)
    setattr(error, _NOTE, Whereabouts(str(server), str(user or "default")))


def noted(error: BaseException) -> Whereabouts:
    """Return what was noted on an error."""
    found: Whereabouts = getattr(error, _NOTE, Whereabouts())
    return found


def address_of(connection: Any) -> str:
    """Return the ``host:port`` that a connection goes to."""
    host, port = getattr(connection, "host", ""), getattr(connection, "port", "")
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
