"""The bell page as a gateway process serves it: for frames of the pages that settings list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from galaxy_notify.realtime.client_files import SCRIPT_TYPE, ClientFile, etag_of, without_comments

_FOLDER: Final = Path(__file__).parent / "bell"
#: Nothing of another host, nothing that stands in the page itself, and no text becomes code.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
    "frame-ancestors {origins}"
)


def bell_files(origins: Sequence[str]) -> Mapping[str, ClientFile]:
    """Return the files of the page by their paths; browsers frame it for *origins* only.

    Without any there are none.
    """
    if not origins:
        return {}
    policy = _POLICY.format(origins=" ".join(origins)).encode()
    script = without_comments((_FOLDER / "bell.js").read_text("utf-8"))
    files = [
        _file("/bell", "text/html; charset=utf-8", _read("bell.html"), policy),
        _file("/bell.css", "text/css; charset=utf-8", _read("bell.css"), policy),
        _file("/bell.js", SCRIPT_TYPE.decode(), script, policy),
    ]
    return {file.path: file for file in files}


def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _file(path: str, kind: str, body: bytes, policy: bytes) -> ClientFile:
    etag = etag_of(body)
    headers = (
        (b"content-type", kind.encode()),
        # Asked for each time: whom the policy lists may have changed.
        (b"cache-control", b"no-cache"),
        (b"etag", etag.encode()),
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
    )
    return ClientFile(path, body, etag, headers)
