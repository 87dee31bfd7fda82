"""The probe for the wrong scheme: an outage is never taken for one."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any

import pytest

from galaxy_notify.redis_client.scheme_probe import _speaks_tls

_RESET = struct.pack("ii", 1, 0)


def test_probe__takes_a_reset_connection_for_no_tls_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is reset before the handshake is wrapped without one."""
    connect = socket.create_connection
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset(*args: Any) -> socket.socket:
            connected = connect(*args)
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            accepted.close()
            with suppress(ConnectionResetError):
                connected.recv(1)
            return connected

        monkeypatch.setattr(socket, "create_connection", reset)
        assert not _speaks_tls(*listening.getsockname())
