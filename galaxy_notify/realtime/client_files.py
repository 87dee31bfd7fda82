"""The browser client as a gateway process serves it: two small files that browsers keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from galaxy_notify.realtime.access import Headers

_FOLDER: Final = Path(__file__).parent / "client"
SCRIPT_TYPE: Final = b"text/javascript; charset=utf-8"
#: How long a browser takes what it has without asking. Under a name with a hash: for good.
_BRIEFLY: Final = b"public, max-age=300"
_FOR_GOOD: Final = b"public, max-age=31536000, immutable"
_HASH_DIGITS: Final = 16


@dataclass(frozen=True)
class ClientFile:
    """One file, with what browsers need to keep it."""

    path: str
    body: bytes
    #: The strong validator of the body, in quotes.
    etag: str
    headers: Headers

    def is_kept(self, if_none_match: str) -> bool:
        """Return whether a browser that sent this ``If-None-Match`` has the file."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return self.etag in tags or tags == ["*"]


def client_files() -> Mapping[str, ClientFile]:
    """Return the files by their paths.

    The client is there twice: as ``/client.js``, and under a name with the hash of its contents.
    ``Content-Location`` of the first names the second.
    """
    script = without_comments((_FOLDER / "client.js").read_text("utf-8"))
    types = (_FOLDER / "client.d.ts").read_bytes()
    named = f"/client-{_digest(script)}.js"
    location = (b"content-location", named.encode())
    files = [
        _file("/client.js", script, SCRIPT_TYPE, _BRIEFLY, [location]),
        _file(named, script, SCRIPT_TYPE, _FOR_GOOD),
        _file("/client.d.ts", types, b"text/plain; charset=utf-8", _BRIEFLY),
    ]
    return {file.path: file for file in files}


def _file(
    path: str, body: bytes, kind: bytes, caching: bytes, more: Sequence[tuple[bytes, bytes]] = ()
) -> ClientFile:
    etag = etag_of(body)
    headers = [
        (b"content-type", kind),
        (b"cache-control", caching),
        (b"etag", etag.encode()),
        (b"x-content-type-options", b"nosniff"),
        # Pages of other hosts take it from here; nothing else of a gateway is for them to load.
        (b"cross-origin-resource-policy", b"cross-origin"),
        (b"referrer-policy", b"no-referrer"),
        *more,
    ]
    return ClientFile(path, body, etag, tuple(headers))


def etag_of(body: bytes) -> str:
    """Return the strong validator of a body, in quotes."""
    return f'"{_digest(body)}"'


def without_comments(source: str) -> bytes:
    """Return a script without indentation and without lines that are comments.

    No text of the script goes over several lines, so nothing else can be lost.
    """
    lines = [line.strip() for line in source.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("//", "/**"))]
    return "\n".join([*kept, ""]).encode()


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()[:_HASH_DIGITS]
