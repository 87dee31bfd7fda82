"""What HTTP itself asks of a server, whatever is served: headers, targets, methods, browsers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import Scope

from galaxy_notify.http.problems import Problem, fault
from galaxy_notify.settings.http import is_loopback

Headers = Sequence[tuple[bytes, bytes]]

#: Each means one thing: whoever sends two values means neither of them surely.
_SINGLE: Final = (
    b"authorization",
    b"content-type",
    b"host",
    b"idempotency-key",
    b"origin",
    b"sec-fetch-site",
    b"x-request-id",
)
_CONDITIONS: Final = (b"if-match", b"if-none-match", b"if-unmodified-since")
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)")
#: What goes with every answer: nobody keeps it, shows it as something else, or frames it.
ALWAYS_SENT: Final[Headers] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


def header(headers: Headers, name: bytes) -> str:
    """Return the first value of a header, or nothing."""
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def without_cookies(scope: Scope) -> Scope:
    """Return the scope of a request without its cookies: they say nothing here.

    The framework reads them for every path, before anybody said who calls, and Python before
    3.11.10 takes seconds for one of 60 kB.
    """
    headers = [one for one in scope["headers"] if one[0] != b"cookie"]
    return scope if len(headers) == len(scope["headers"]) else {**scope, "headers": headers}


def in_origin_form(scope: Scope) -> Scope:
    """Return the scope of a request whose target is a whole URL as that of its path."""
    match = _ABSOLUTE.match(scope.get("raw_path", b""))
    if match is None:
        return scope
    raw = scope["raw_path"][match.end() :] or b"/"
    others = [one for one in scope["headers"] if one[0] != b"host"]
    # The URL stands before the header (RFC 9112).
    headers = [(b"host", match[1]), *others]
    return {**scope, "raw_path": raw, "path": unquote(raw.decode("latin-1")), "headers": headers}


def refusal(method: str, headers: Headers) -> Problem | None:
    """Return why a request cannot be understood surely, if so."""
    names = [name for name, _ in headers]
    for name in _SINGLE:
        if names.count(name) > 1:
            shown = name.decode().title()
            message = "is given more than once"
            return Problem("bad-request", f"{shown} {message}", [fault(shown, message)])
    if b"transfer-encoding" in names and b"content-length" in names:
        message = "Transfer-Encoding and Content-Length are given both"
        return Problem("bad-request", message, (), {"Connection": "close"})
    if method not in _SAFE:
        for name in _CONDITIONS:
            if name in names:
                shown = name.decode().title()
                return Problem("precondition-failed", f"{shown}: nothing here has an entity tag")
    return None


def of_a_browser(headers: Headers) -> Problem | None:
    """Refuse what a page that a browser shows sends; what a person types there is served."""
    names = {name for name, _ in headers}
    if b"origin" in names or header(headers, b"sec-fetch-site").lower() not in ("", "none"):
        return Problem("forbidden", "without tokens no page of a browser is served")
    return None


def of_another_host(headers: Headers) -> Problem | None:
    """Refuse a request that calls us by a name which is not this machine's own."""
    if _is_local(header(headers, b"host")):
        return None
    return Problem("forbidden", "without tokens only requests to localhost are served")


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name.strip("[]").lower())


def media_type(text: str) -> tuple[str, dict[str, str]] | None:
    """Return a media type in lower case with its parameters; None where it is not one."""
    match = _MEDIA_TYPE.fullmatch(text.strip())
    if match is None:
        return None
    found: dict[str, str] = {}
    for name, plain, quoted in _PARAMETER.findall(match[2]):
        if name.lower() in found:
            return None
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
    return match[1].lower(), found


_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rf"(?:({_NAME})|\"((?:[^\"\\]|\\.)*)\")"
_PARAMETER: Final = re.compile(rf"({_NAME})={_VALUE}")
_ANY_VALUE: Final = rf"(?:{_NAME}|\"(?:[^\"\\]|\\.)*\")"
# Nothing is matched in two ways (possessive quantifiers): the time is that of the length.
_ONE: Final = rf"[ \t]*+;(?:[ \t]*+{_NAME}={_ANY_VALUE})?+"
_MEDIA_TYPE: Final = re.compile(rf"({_NAME}/{_NAME})((?:{_ONE})*+)")


def content_codings(values: Sequence[str]) -> list[str]:
    """Return every coding of a body that all headers together name, but for none at all."""
    found = [one.strip().lower() for value in values for one in value.split(",")]
    return [one for one in found if one not in ("", "identity")]


def allowed(methods: set[str]) -> dict[str, Any]:
    """Return the header that names the methods of a path; whatever can be got has a head."""
    every = {*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}
    return {"Allow": ", ".join(sorted(every))}
