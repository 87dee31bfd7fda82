"""JWTs: algorithm, key, issuer and audience are fixed by the settings, never by the token."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jwt

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.json_data import printable
from galaxy_notify.settings.http import SCOPES, HttpSettings

_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_LONGEST_KEY: Final = 1 << 16


class BadToken(Exception):
    """A JWT opens nothing here; the text says why, without repeating it."""


class Granted(NamedTuple):
    """What a JWT opens: its client, the scopes, and the producers that it is bound to."""

    name: str
    scopes: frozenset[str]
    producers: frozenset[str] | None = None


class Verifier:
    """Checks the JWTs of one issuer."""

    def __init__(self, settings: HttpSettings) -> None:
        """Load the key; raise `ConfigurationError` for one that cannot be used."""
        self._settings = settings
        self._key = _key(settings)

    def read(self, token: str) -> Granted:
        """Return who a token names and what it grants; raise `BadToken`."""
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
            raise BadToken(f"the token is refused: {_reason(error)}") from None
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise BadToken("the token is refused: it cannot be read") from None
        return self._granted(f"jwt:{printable(claims['sub'])}", claims)

    def _granted(self, name: str, claims: dict[str, Any]) -> Granted:
        given = claims.get(self._settings.jwt_scope_claim)
        words = given.split() if isinstance(given, str) else given
        prefix = self._settings.jwt_scope_prefix
        if not isinstance(words, list):
            return Granted(name, frozenset())
        scopes = {scope for scope in SCOPES if f"{prefix}{scope}" in words}
        bound = f"{prefix}producer="
        own = [one.removeprefix(bound) for one in words if str(one).startswith(bound)]
        if not own:
            return Granted(name, frozenset(scopes))
        # One such word binds the whole token, even beside the scope that binds nothing.
        return Granted(name, frozenset({*scopes, "producer"}), frozenset(own))


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.InvalidIssuerError() | jwt.InvalidAudienceError():
            return "it is for somebody else, or by somebody else"
        case jwt.InvalidAlgorithmError() | jwt.InvalidSignatureError():
            return "it is not signed as it must be"
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
