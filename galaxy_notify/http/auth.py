"""Who calls, and with which scopes: static tokens and JWTs, both as the settings fix them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Final

from galaxy_notify.model.json_data import printable
from galaxy_notify.settings.http import SCOPES, HttpSettings
from galaxy_notify.web.problems import Problem, fault
from galaxy_notify.web.signed_tokens import LONGEST, InvalidToken, TokenVerifier

_ANYBODY: Final = "anonymous"
_REALM: Final = 'Bearer realm="galaxy-notify"'
#: A filter that nothing matches.
_NO_PRODUCER: Final = ("",)
#: Scopes that include another one: an operator may also read.
_ALSO: Final = {"read-only": ("operator",)}
_REQUIRED: Final = ("exp", "iss", "aud", "sub")


@dataclass(frozen=True, slots=True)
class Client:
    """A known caller: its name in logs, counts and histories, and its scopes."""

    name: str
    scopes: frozenset[str]
    #: The producers that it is bound to; None if it is not bound.
    producers: frozenset[str] | None = None

    def owns(self, producer: object) -> bool:
        """Return whether it may act for this producer."""
        return self.producers is None or producer in self.producers

    def refusal_of(self, producer: object) -> str:
        """Return why it may not submit as this producer; empty if it may, or if it is no name."""
        if not isinstance(producer, str) or self.owns(producer):
            return ""
        return f"{self.name} is bound to {', '.join(sorted(self.producers or ()))}"

    def among(self, requested: Sequence[str]) -> tuple[str, ...]:
        """Return the producers to filter by when these are requested; an empty tuple means all."""
        if self.producers is None:
            return tuple(requested)
        own = self.producers.intersection(requested) if requested else self.producers
        return tuple(sorted(own)) or _NO_PRODUCER

    def may(self, *wanted: str) -> bool:
        """Return whether it has one of these scopes."""
        return not self.scopes.isdisjoint(_sufficient(wanted))

    @property
    def actor(self) -> str:
        """Return how the history of a route names it."""
        return f"http:{self.name}"


_ANONYMOUS: Final = Client(_ANYBODY, frozenset(SCOPES))


@cache
def _sufficient(wanted: tuple[str, ...]) -> frozenset[str]:
    return frozenset(scope for one in wanted for scope in (one, *_ALSO.get(one, ())))


class Authenticator:
    """Knows the callers that the settings name; without any, the API is open to this machine."""

    def __init__(self, settings: HttpSettings) -> None:
        """Prepare; raise `ConfigurationError` for a key that cannot be used."""
        self.is_open = not settings.is_guarded
        self._tokens = settings.clients
        self._settings = settings
        self._verifier = (
            TokenVerifier.from_settings("http", settings, settings.jwt_audience, _REQUIRED)
            if settings.takes_jwt
            else None
        )

    def authenticate(self, header: str | None) -> Client:
        """Return the caller of an Authorization header; raise a `Problem` (401) if invalid."""
        if self.is_open:
            return _ANONYMOUS
        if header is None:
            raise _unauthorized("the Authorization header is missing")
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
            raise _unauthorized("the Authorization header must be: Bearer TOKEN")
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
        """Return who a JWT names and what it grants; the problem says why, without repeating it."""
        if self._verifier is None:
            raise _unauthorized("unknown token", "invalid_token")
        try:
            claims = self._verifier.claims(token)
        except InvalidToken as error:
            raise _unauthorized(str(error), "invalid_token") from None
        return self._granted(f"jwt:{printable(claims['sub'])}", claims)

    def _granted(self, name: str, claims: Mapping[str, Any]) -> Client:
        given = claims.get(self._settings.jwt_scope_claim)
        words = given.split() if isinstance(given, str) else given
        prefix = self._settings.jwt_scope_prefix
        if not isinstance(words, list):
            return Client(name, frozenset())
        scopes = {scope for scope in SCOPES if f"{prefix}{scope}" in words}
        bound = f"{prefix}producer="
        own = [one.removeprefix(bound) for one in words if str(one).startswith(bound)]
        if not own:
            return Client(name, frozenset(scopes))
        # One such word binds the whole token, even beside the scope that binds nothing.
        return Client(name, frozenset({*scopes, "producer"}), frozenset(own))


def _unauthorized(detail: str, error: str = "") -> Problem:
    challenge = f'{_REALM}, error="{error}"' if error else _REALM
    return Problem("unauthorized", detail, (), {"WWW-Authenticate": challenge})


def not_owned(message: str) -> Problem:
    """Return the problem (403) of a client that submits as another producer than its own."""
    return Problem("forbidden", f"producer: {message}", [fault("producer", message, "forbidden")])


def forbidden(client: Client, scopes: tuple[str, ...]) -> Problem:
    """Return the problem (403) for a caller without any of the scopes that it needs."""
    challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'
    has = " ".join(sorted(client.scopes)) or "none"
    detail = f"needs the scope {' or '.join(scopes)}; {client.name} has {has}"
    return Problem("forbidden", detail, (), {"WWW-Authenticate": challenge})
