"""Who calls, and what they may do: static tokens and JWTs, both as the settings fix them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.requests import Request

from galaxy_notify.http.jwt_tokens import BadToken, Verifier
from galaxy_notify.http.problems import Problem
from galaxy_notify.http.queries import check_query
from galaxy_notify.http.seats import Seats
from galaxy_notify.settings.http import SCOPES, HttpSettings

_ANYBODY: Final = "anonymous"
_REALM: Final = 'Bearer realm="galaxy-notify"'
_LONGEST: Final = 8192
#: A filter that nothing matches.
_NO_PRODUCER: Final = ("",)
#: Who may do what a scope is asked for: an operator also looks.
_ALSO: Final = {"read-only": ("operator",)}


@dataclass(frozen=True, slots=True)
class Client:
    """A caller that is known: its name in logs, counts and histories, and its scopes."""

    name: str
    scopes: frozenset[str]
    #: Bound to what these producers handed in; None for one that is not bound.
    producers: frozenset[str] | None = None

    def owns(self, producer: object) -> bool:
        """Tell whether it may hand in as this producer, and have to do with what that handed in."""
        return self.producers is None or producer in self.producers

    def among(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return the producers to filter by where these are asked for; none means all."""
        if self.producers is None:
            return tuple(asked)
        own = self.producers.intersection(asked) if asked else self.producers
        return tuple(sorted(own)) or _NO_PRODUCER

    def may(self, *wanted: str) -> bool:
        """Tell whether one of the scopes that are asked for is among its own."""
        return not self.scopes.isdisjoint(
            {scope for one in wanted for scope in (one, *_ALSO.get(one, ()))}
        )

    @property
    def actor(self) -> str:
        """Return how the history of a route names it."""
        return f"http:{self.name}"


class Doorkeeper:
    """Knows the callers that the settings name; without any, everybody on this machine is in."""

    def __init__(self, settings: HttpSettings) -> None:
        """Prepare; raise `ConfigurationError` for a key that cannot be used."""
        self.is_open = not settings.is_guarded
        self._tokens = settings.clients
        self._verifier = Verifier(settings) if settings.takes_jwt else None

    def admit(self, header: str | None) -> Client:
        """Return who sent this Authorization header; raise a `Problem` (401) for nobody."""
        if self.is_open:
            return Client(_ANYBODY, frozenset(SCOPES))
        if header is None:
            raise _unknown("the Authorization header is missing")
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            raise _unknown("the Authorization header must be: Bearer TOKEN")
        return self._known(token) or self._signed(token)

    def _known(self, token: str) -> Client | None:
        digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        # All are compared, so that the time says nothing of which one came close.
        for one in self._tokens:
            if hmac.compare_digest(one.digest, digest):
                found = Client(one.name, one.scopes, one.producers)
        return found

    def _signed(self, token: str) -> Client:
        if self._verifier is None:
            raise _unknown("the token is not known", "invalid_token")
        try:
            return Client(*self._verifier.read(token))
        except BadToken as error:
            raise _unknown(str(error), "invalid_token") from None


def needs(*scopes: str) -> Callable[[Request], Awaitable[Client]]:
    """Return the dependency that lets only callers with one of these scopes in."""

    async def admitted(request: Request) -> Client:
        keeper: Doorkeeper = request.app.state.doorkeeper
        client = keeper.admit(request.headers.get("authorization"))
        request.state.client = client.name
        if not client.may(*scopes):
            raise _forbidden(client, scopes)
        check_query(request.query_params)
        seats: Seats = request.app.state.seats
        seats.take(request.scope, reserved="operator" in client.scopes)
        return client

    return admitted


def _unknown(detail: str, error: str = "") -> Problem:
    challenge = f'{_REALM}, error="{error}"' if error else _REALM
    return Problem("unauthorized", detail, (), {"WWW-Authenticate": challenge})


def _forbidden(client: Client, scopes: tuple[str, ...]) -> Problem:
    challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'
    has = " ".join(sorted(client.scopes)) or "none"
    detail = f"needs the scope {' or '.join(scopes)}; {client.name} has {has}"
    return Problem("forbidden", detail, (), {"WWW-Authenticate": challenge})
