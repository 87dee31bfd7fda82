"""Who may open a stream, and which pages may: the checks before anything is read from Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from galaxy_notify.realtime.tokens import TokenUser, UserTokens
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.web.problems import Problem, fault
from galaxy_notify.web.signed_tokens import InvalidToken

#: Header names and values as ASGI has them, in lower case.
Headers = Sequence[tuple[bytes, bytes]]

#: Each means one thing: with two values it is unclear which one is meant.
_SINGLE: Final = frozenset(
    {
        *(b"authorization", b"cookie", b"last-event-id", b"origin", b"sec-fetch-site"),
        *(b"content-encoding", b"content-type", b"if-match"),
        *(b"sec-websocket-key", b"sec-websocket-version"),
    }
)
_REALM: Final = 'Bearer realm="galaxy-notify"'
_PREFLIGHT: Final[Headers] = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"authorization, last-event-id, content-type, if-match"),
    (b"access-control-max-age", b"600"),
)


def single_values(headers: Headers) -> Mapping[bytes, str]:
    """Return the headers by name; raise a `Problem` where one that decides something is repeated.

    Of a repeated header that decides nothing the last value is returned.
    """
    values: dict[bytes, str] = {}
    for name, value in headers:
        if name in values and name in _SINGLE:
            shown = name.decode().title()
            message = "is given more than once"
            raise Problem("bad-request", f"{shown} {message}", [fault(shown, message)])
        values[name] = value.decode("latin-1")
    return values


class Access:
    """Knows users by their tokens, and the pages that may send a cookie."""

    def __init__(self, settings: RealtimeSettings) -> None:
        """Read the key; raise `ConfigurationError` if it cannot be used."""
        self._tokens = UserTokens(settings)
        self._cookie = settings.cookie
        self._origins = frozenset(settings.allowed_origins)

    def user(self, headers: Mapping[bytes, str], *, only_reads: bool) -> TokenUser:
        """Return who asks; raise a `Problem` (401 or 403).

        A page that sends a cookie must name its origin, unless the request *only_reads*.
        """
        header = headers.get(b"authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise unauthorized("the Authorization header must be: Bearer TOKEN")
        else:
            token = self._cookie_value(headers.get(b"cookie", ""))
            if not token:
                raise unauthorized("the Authorization header is missing")
            self._check_page(headers, only_reads=only_reads)
        try:
            return self._tokens.user(token.strip())
        except InvalidToken as error:
            raise unauthorized(str(error), "invalid_token") from None

    def cors(self, origin: str | None, *, preflight: bool = False) -> Headers:
        """Return the headers that let a listed page read the answer; no page of another origin."""
        if not self._origins:
            return ()
        vary = ((b"vary", b"origin"),)
        if origin not in self._origins:
            return vary
        allowed = (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"retry-after, etag"),
        )
        return (*vary, *allowed, *(_PREFLIGHT if preflight else ()))

    def _cookie_value(self, header: str) -> str:
        """Return what our cookie holds; empty where there is none, or more than one."""
        if not self._cookie:
            return ""
        # What other programs of the host keep in their cookies need not be valid.
        cookies = (part.partition("=") for part in header.split(";"))
        found = [value for name, _, value in cookies if name.strip() == self._cookie]
        return found[0].strip(' \t"') if len(found) == 1 else ""

    def _check_page(self, headers: Mapping[bytes, str], *, only_reads: bool) -> None:
        """Refuse a foreign page: a browser sends the cookie with every request to this host."""
        origin = headers.get(b"origin")
        is_own = headers.get(b"sec-fetch-site") == "same-origin"
        if origin is None and only_reads and is_own:
            return
        if origin not in self._origins:
            raise Problem("forbidden", "a page of this origin may not use the cookie")


def unauthorized(detail: str, error: str = "") -> Problem:
    """Return the problem (401) of a client that is not known."""
    challenge = f'{_REALM}, error="{error}"' if error else _REALM
    return Problem("unauthorized", detail, (), {"WWW-Authenticate": challenge})
