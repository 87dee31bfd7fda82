"""What stands behind the socket of a Postgres, by its first answer."""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from galaxy_notify.embedded.postgres_handshake import Standing, ask

_PATIENT_S = 60.0


def _message(kind: bytes, text: bytes) -> bytes:
    return kind + struct.pack("!I", len(text) + 4) + text


def _refusal(code: bytes) -> bytes:
    fields = [b"SFATAL", b"VFATAL", b"C" + code, b"Mwhy"]
    return _message(b"E", b"\0".join([*fields, b"\0"]))


@contextmanager
def _answering(*parts: bytes) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Give a socket that answers one client in these parts; and what the client said."""
    with tempfile.TemporaryDirectory(prefix="gn-") as folder, socket.socket(socket.AF_UNIX) as own:
        path = Path(folder) / "s"
        own.bind(str(path))
        own.listen()
        said: list[bytes] = []

        def serve() -> None:
            with own.accept()[0] as client:
                said.append(client.recv(1000))
                for part in parts:
                    client.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()

        def heard() -> bytes:
            thread.join()
            return said[0]

        yield path, heard
        thread.join()


@pytest.mark.parametrize(
    ("answer", "standing"),
    [
        (_message(b"R", struct.pack("!I", 0)), Standing.READY),
        (_message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"), Standing.READY),
        (_refusal(b"53300"), Standing.READY),
        (_refusal(b"28000"), Standing.READY),
        (_refusal(b"57P03"), Standing.BETWEEN),
        (b"", Standing.BETWEEN),
        (b"R\0\0", Standing.BETWEEN),
    ],
)
def test_ask__judges_by_the_first_answer(answer: bytes, standing: Standing) -> None:
    """A server that refuses a client is there, except for one that starts or ends."""
    with _answering(answer) as (path, _):
        assert ask(path, "u", "d", _PATIENT_S) is standing


def test_ask__reads_an_answer_that_comes_in_pieces() -> None:
    """A refusal is judged as a whole, however it arrives."""
    whole = _refusal(b"57P03")
    with _answering(*(whole[n : n + 1] for n in range(len(whole)))) as (path, _):
        assert ask(path, "u", "d", _PATIENT_S) is Standing.BETWEEN


def test_ask__begins_as_a_client_does() -> None:
    """It names its user and database in a packet of protocol 3.0."""
    with _answering(b"") as (path, heard):
        ask(path, "user", "base", _PATIENT_S)
    words = b"user\0user\0database\0base\0\0"
    assert heard() == struct.pack("!IHH", len(words) + 8, 3, 0) + words


def test_ask__finds_a_server_silent_that_takes_a_client_and_says_nothing() -> None:
    """One that holds the socket is there, and is not waited for."""
    with tempfile.TemporaryDirectory(prefix="gn-") as folder, socket.socket(socket.AF_UNIX) as own:
        path = Path(folder) / "s"
        own.bind(str(path))
        own.listen(0)
        assert ask(path, "u", "d", 0.05) is Standing.SILENT
        # The client that has left is still in its line, which is full by now.
        assert ask(path, "u", "d", 0.05) is Standing.SILENT


def test_ask__finds_no_server_where_nobody_listens() -> None:
    """There may be a socket that a killed server has left, or none."""
    with tempfile.TemporaryDirectory(prefix="gn-") as folder:
        path = Path(folder) / "s"
        assert ask(path, "u", "d", _PATIENT_S) is Standing.AWAY
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(str(path))
        assert ask(path, "u", "d", _PATIENT_S) is Standing.AWAY
