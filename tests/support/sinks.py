"""Receivers of webhooks that do what they can to hold up or fill up a sender, in their own process.

``python -m tests.support.sinks FOLDER`` listens for each kind of `KINDS` on a port of its own,
prints the ports as JSON, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.program import ROOT
from tests.support.tls import Authority, Pair
from tests.support.wait import HANG_S

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LARGE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
_ZEROS: Final = 100_000_000

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(_OK)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never read: the buffers of both sides fill up."""
    await asyncio.sleep(HANG_S)


def _says(text: bytes) -> Behaviour:
    """Return the behaviour that answers a request with this, then waits."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await reader.read()

    return behave


def _repeats(first: bytes, then: bytes) -> Behaviour:
    """Return the behaviour that answers with one text, then with another for ever."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        # Draining alone does not notice behind TLS that the connection is lost.
        while not (reader.at_eof() or reader.exception() or writer.transport.is_closing()):
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(0)

    return behave


async def _speaks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer before anything was asked: a server of another protocol."""
    writer.write(b"SSH-2.0-sink\r\n" * 100)
    await reader.read()


async def _no_record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer past TLS, if there is any."""
    await reader.readuntil(b"\r\n\r\n")
    os.write(writer.get_extra_info("socket").fileno(), b"no record" * 10)
    await reader.read()


def _drips(first: bytes, then: bytes) -> Behaviour:
    """Return the behaviour that answers with one text at once, then with a byte each second."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        for byte in then:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)

    return behave


def _closes(*, reading: bool, reset: bool) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reading:
            await reader.readuntil(b"\r\n\r\n")
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def _bomb() -> bytes:
    packed = gzip.compress(bytes(_ZEROS))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    return head.encode() + packed


_HEADERS = b"X-A: " + b"a" * 8000 + b"\r\n"

#: What a sink does on a connection without TLS.
KINDS: Final[Mapping[str, Behaviour]] = {
    "ok": _ok,
    "silent": _silent,
    "deaf": _deaf,
    "drips_head": _drips(b"", _OK),
    "drips_body": _drips(_LARGE, b"x" * 1000),
    "gigabyte": _repeats(_LARGE, b"x" * 100_000),
    "endless_chunks": _repeats(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000
    ),
    "endless_chunk_size": _repeats(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 10_000
    ),
    "gzip_bomb": _says(_bomb()),
    "two_mb_of_headers": _says(b"HTTP/1.1 200 OK\r\n" + _HEADERS * 250 + b"\r\n"),
    "two_mb_header": _says(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 2_000_000 + b"\r\n\r\n"),
    "many_headers": _repeats(b"HTTP/1.1 200 OK\r\n", b"a:\r\n" * 1000),
    "endless_reason": _repeats(b"HTTP/1.1 200 ", b"a" * 1000),
    "interim": _repeats(b"", b"HTTP/1.1 100\r\n\r\n" * 1000),
    "interim_with_headers": _repeats(b"", b"HTTP/1.1 103 E\r\n" + b"a:b\r\n" * 100 + b"\r\n"),
    "endless_responses": _repeats(_OK, _OK * 1000),
    "switching": _repeats(
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", b"x" * 1000
    ),
    "garbage": _repeats(b"", bytes(range(256)) * 10),
    "speaks_first": _speaks_first,
    "two_lengths": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
    "no_record": _no_record,
    "no_answer": _closes(reading=True, reset=False),
    "half_an_answer": _says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "resets": _closes(reading=True, reset=True),
    "resets_at_once": _closes(reading=False, reset=True),
}
#: The same behind TLS: which behaviour, and whose certificate.
TLS_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "tls": ("ok", "valid"),
    "tls_gigabyte": ("gigabyte", "valid"),
    "tls_interim": ("interim", "valid"),
    "tls_many_headers": ("many_headers", "valid"),
    "tls_drips_head": ("drips_head", "valid"),
    "tls_deaf": ("deaf", "valid"),
    "tls_no_record": ("no_record", "valid"),
    "tls_resets": ("resets", "valid"),
    "tls_expired": ("ok", "expired"),
    "tls_other_host": ("ok", "other"),
    "tls_unknown": ("ok", "unknown"),
}


@dataclass(frozen=True)
class Sinks:
    """Sinks that listen: the port of each kind, and the authority of those with TLS."""

    ports: Mapping[str, int]
    authority: Path

    @property
    def tls(self) -> ssl.SSLContext:
        """The context of a sender that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority))


@contextmanager
def running_sinks(folder: Path) -> Iterator[Sinks]:
    """Let a sink of each kind listen on 127.0.0.1 while the block runs."""
    authority, foreign = Authority(folder, "authority"), Authority(folder, "foreign")
    pairs = {
        "valid": authority.issue("valid"),
        "expired": authority.issue("expired", days=-1),
        "other": authority.issue("other", of="DNS:other.example"),
        "unknown": foreign.issue("unknown"),
    }
    files = {name: [str(pair.cert), str(pair.key)] for name, pair in pairs.items()}
    (folder / "pairs.json").write_text(json.dumps(files))
    command = [sys.executable, "-m", "tests.support.sinks", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Sinks(json.loads(process.stdout.readline()), authority.cert)
        finally:
            process.stdin.close()


async def _main(folder: Path) -> None:
    files = json.loads((folder / "pairs.json").read_text())
    pairs = {name: Pair(Path(cert), Path(key)) for name, (cert, key) in files.items()}
    ports = {kind: await _listen(behave, None) for kind, behave in KINDS.items()}
    for kind, (behaviour, pair) in TLS_KINDS.items():
        ports[kind] = await _listen(KINDS[behaviour], pairs[pair])
    print(json.dumps(ports), flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _listen(behave: Behaviour, pair: Pair | None) -> int:
    tls = None
    if pair:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.cert, pair.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            await behave(reader, writer)
        writer.close()

    limit = 4096 if behave is _deaf else 1_000_000
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=limit)
    _SERVERS.append(server)
    port: int = server.sockets[0].getsockname()[1]
    return port


#: Kept from being collected, which would close them.
_SERVERS: list[asyncio.Server] = []


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
