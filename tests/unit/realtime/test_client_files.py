"""The browser client as it is served: small, whole, and kept by browsers while it is true."""

from __future__ import annotations

import gzip
import re

from galaxy_notify.realtime.client_files import client_files

FILES = client_files()
(NAMED,) = (path for path in FILES if re.fullmatch(r"/client-[0-9a-f]{16}\.js", path))


def test_client__is_small() -> None:
    """The limits of the module: 8 KB, and 4 KB where it is compressed on its way."""
    script = FILES["/client.js"].body
    assert len(script) <= 8192
    assert len(gzip.compress(script, mtime=0)) <= 4096


def test_client__is_one_module_without_dependencies() -> None:
    """It exports `connect`, imports nothing, and has lost its comments only."""
    script = FILES["/client.js"].body.decode("ascii")
    assert "export function connect(" in script
    assert not re.search(r"\bimport\b", script)
    assert not re.search(r"^\s*//|^\s|^/\*", script, re.MULTILINE)


def test_types__are_those_of_the_client() -> None:
    """Every handler that the client calls has a type, and no other has one; so have its states."""
    script, types = (FILES[path].body.decode() for path in ("/client.js", "/client.d.ts"))
    called = re.findall(r'give\("(\w+)"', script)
    assert sorted(set(called)) == sorted(re.findall(r"^  (on\w+)\?:", types, re.MULTILINE))
    said = set(re.findall(r'say\((?:data\.live \? )?"(\w+)"', script)) | {"late"}
    (named,) = re.findall(r"^export type State = (.*);$", types, re.MULTILINE)
    assert said == set(re.findall(r'"(\w+)"', named))


def test_names__are_for_a_while_or_for_good() -> None:
    """What is under a name with a hash never changes; the plain names are asked for again."""
    named, plain = FILES[NAMED], FILES["/client.js"]
    assert (named.body, named.etag) == (plain.body, plain.etag)
    assert dict(plain.headers)[b"content-location"] == NAMED.encode()
    kept = {path: dict(file.headers)[b"cache-control"].decode() for path, file in FILES.items()}
    assert kept == {
        "/client.js": "public, max-age=300",
        "/client.d.ts": "public, max-age=300",
        NAMED: "public, max-age=31536000, immutable",
    }


def test_etag__is_recognised_as_browsers_and_proxies_send_it() -> None:
    """Alone, in a list, weakened by a proxy that compresses, or any."""
    file = FILES["/client.js"]
    assert file.etag == f'"{file.etag[1:-1]}"'
    for sent in (file.etag, f"W/{file.etag}", f'"other", {file.etag}', "*"):
        assert file.is_kept(sent), sent
    for sent in ("", '"other"', file.etag[1:-1], FILES["/client.d.ts"].etag):
        assert not file.is_kept(sent), sent
