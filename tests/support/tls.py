"""Certificates for tests, made by the openssl program, and servers that ask for them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from galaxy_notify.embedded.binaries import ServerBinary
from tests.support.servers import Server, free_port, running
from tests.support.wait import HANG_S

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate with its key."""

    cert: Path
    key: Path

    def replace_by(self, other: Pair) -> None:
        """Put another certificate in the place of this one, as a rotation does."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


class Authority:
    """A CA of the test's own; `cert` is what is to be trusted."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._own = self._pair(name)
        _openssl("req", "-x509", *_KEY, *_out(self._own), "-days", "2", "-subj", f"/CN={name}")

    @property
    def cert(self) -> Path:
        return self._own.cert

    def issue(self, name: str, *, days: int = 2, of: str = "IP:127.0.0.1") -> Pair:
        """Issue a certificate for an address that is valid so long; negative: not any more."""
        made, asked = self._pair(f"{self._name}-{name}"), self._folder / f"{name}.csr"
        names = ("-addext", f"subjectAltName={of}")
        out = ("-keyout", str(made.key), "-out", str(asked))
        _openssl("req", "-new", *_KEY, *out, "-subj", f"/CN={name}", *names)
        signer = ("-CA", str(self._own.cert), "-CAkey", str(self._own.key))
        fields = ("-days", str(days), "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", str(asked), *signer, *fields, "-out", str(made.cert))
        return made

    def _pair(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")


@contextmanager
def tls_server(
    binary: ServerBinary, authority: Authority, own: Pair
) -> Iterator[tuple[Server, int]]:
    """Run a server that asks everybody for a certificate; give the port of its TLS, too."""
    port = free_port()
    tls = {
        "tls_port": str(port),
        "tls_cert_file": str(own.cert),
        "tls_key_file": str(own.key),
        "tls_ca_cert_file": str(authority.cert),
        "tls_auth_clients": "yes",
    }
    with running(binary, tcp=False, **tls) as server:
        yield server, port


def _out(pair: Pair) -> tuple[str, ...]:
    return ("-keyout", str(pair.key), "-out", str(pair.cert))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=HANG_S)
