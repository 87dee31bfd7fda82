"""Who calls, and with which scopes: static tokens and JWTs, both as the settings fix them.

Algorithm, key, issuer and audience of a JWT come from the settings, never from the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Final

import jwt

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.responses import Problem
from galaxy_notify.model.json_data import printable
from galaxy_notify.settings.http import SCOPES, HttpSettings

_ANYBODY: Final = "anonymous"
_REALM: Final = 'Bearer realm="galaxy-notify"'
_LONGEST: Final = 8192
#: A filter that nothing matches.
_NO_PRODUCER: Final = ("",)
#: Scopes that include another one: an operator may also read.
_ALSO: Final = {"read-only": ("operator",)}
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_LONGEST_KEY: Final = 1 << 16


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
        self._key = _key(settings) if settings.takes_jwt else None

    def authenticate(self, header: str | None) -> Client:
        """Return the caller of an Authorization header; raise a `Problem` (401) if invalid."""
        if self.is_open:
            return _ANONYMOUS
        if header is None:
            raise _unauthorized("the Authorization header is missing")
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
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
        if self._key is None:
            raise _unauthorized("unknown token", "invalid_token")
        own = self._settings
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[own.jwt_algorithm],
                issuer=own.jwt_issuer,
                audience=own.jwt_audience,
                leeway=own.jwt_leeway_ms / 1000,
                options={"require": [*_REQUIRED]},
            )
        except jwt.PyJWTError as error:
            raise _unauthorized(f"invalid token: {_reason(error)}", "invalid_token") from None
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise _unauthorized("invalid token: it cannot be decoded", "invalid_token") from None
        return self._granted(f"jwt:{printable(claims['sub'])}", claims)

    def _granted(self, name: str, claims: dict[str, Any]) -> Client:
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


def forbidden(client: Client, scopes: tuple[str, ...]) -> Problem:
    """Return the problem (403) for a caller without any of the scopes that it needs."""
    challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'
    has = " ".join(sorted(client.scopes)) or "none"
    detail = f"needs the scope {' or '.join(scopes)}; {client.name} has {has}"
    return Problem("forbidden", detail, (), {"WWW-Authenticate": challenge})


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.InvalidIssuerError() | jwt.InvalidAudienceError():
            return "its aud or iss is wrong"
        case jwt.InvalidAlgorithmError() | jwt.InvalidSignatureError():
            return "its signature or algorithm is wrong"
    return "it is not valid"


def _key(settings: HttpSettings) -> Any:
    """Return the key as the algorithm wants it."""
    algorithm = jwt.get_algorithm_by_name(settings.jwt_algorithm)
    name, given = "jwt_key", _given(settings)
    if settings.jwt_secret is not None:
        name = "jwt_secret"
    try:
        key = algorithm.prepare_key(given)
        # One that is too weak is refused now, not warned of with each token.
        wrong = algorithm.check_key_length(key) or ""
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        wrong = str(error)
    if b"PRIVATE KEY" in given:
        wrong = "it is a private one"
    if wrong:
        what = "a public key in PEM" if name == "jwt_key" else "a secret"
        text = f"must be {what} that fits {settings.jwt_algorithm}: {wrong}"
        raise ConfigurationError(f"http.{name}: {text[:300]}")
    return key


def _given(settings: HttpSettings) -> bytes:
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value().encode()
    assert settings.jwt_key is not None
    try:
        with settings.jwt_key.open("rb") as file:
            return file.read(_LONGEST_KEY)
    except OSError as error:
        raise ConfigurationError(f"http.jwt_key: cannot be read: {error.strerror}") from None
