"""The sockets of the API."""

from __future__ import annotations

import socket

from galaxy_notify.web.sockets import listen


def test_connections__send_at_once() -> None:
    """The body of an answer does not wait until its head was acknowledged."""
    (listening,) = listen("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()) as _:
        connection, _address = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
