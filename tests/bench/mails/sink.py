"""An SMTP server that takes every e-mail and keeps its Message-ID.

A process of its own: ``python -m tests.bench.mails.sink CERTIFICATE KEY``. Prints its port, serves
STARTTLS, and ends when its input does. ``XCOUNT`` is answered with how many e-mails and how many
ids came, ``XFORGET`` forgets them.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.support.program import ROOT
from tests.support.tls import Pair

_ID = re.compile(rb"^Message-ID: (.*)\r$", re.MULTILINE)
_HELLO = b"250-sink\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
_MOST_LINE = 1 << 20


class Sink(NamedTuple):
    """A sink that runs, by its port."""

    port: int

    def counted(self) -> tuple[int, int]:
        """Return how many e-mails came, and how many ids."""
        with smtplib.SMTP("127.0.0.1", self.port) as client:
            _, text = client.docmd("XCOUNT")
        mails, ids = map(int, text.split())
        return mails, ids

    def forget(self) -> None:
        """Forget all of them."""
        with smtplib.SMTP("127.0.0.1", self.port) as client:
            client.docmd("XFORGET")


@contextmanager
def running_sink(pair: Pair) -> Iterator[Sink]:
    """Run a sink with this certificate while the block runs."""
    command = [sys.executable, "-m", "tests.bench.mails.sink", str(pair.cert), str(pair.key)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Sink(int(process.stdout.readline()))
        finally:
            process.stdin.close()


class _Server:
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._ids: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it ends."""
        with suppress(OSError, EOFError):
            writer.write(b"220 sink\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    found = _ID.search(content)
                    self._ids.append(found[1] if found else b"")
                    writer.write(b"250 taken\r\n")
                elif verb == b"STAR":
                    writer.write(b"220 go on\r\n")
                    await writer.start_tls(self._context)
                else:
                    writer.write(self._reply(verb))
                    if verb == b"QUIT":
                        break
        writer.close()

    def _reply(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            return _HELLO
        if verb == b"XCOU":
            return b"250 %d %d\r\n" % (len(self._ids), len(set(self._ids)))
        if verb == b"XFOR":
            self._ids = []
        return b"221 bye\r\n" if verb == b"QUIT" else b"250 OK\r\n"


async def _main(certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    sink = _Server(context)
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=_MOST_LINE)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
