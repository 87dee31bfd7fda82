"""Signed tokens (JWT), verified as the settings fix it.

Algorithm, key, issuer and audience come from the settings, never from the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import jwt
from pydantic import SecretStr

from galaxy_notify.errors import ConfigurationError, Portable
from galaxy_notify.settings.values import FilePath

#: The longest token that is looked at, in bytes.
LONGEST: Final = 8192
_LONGEST_KEY: Final = 1 << 16


class KeySettings(Protocol):
    """The settings of a section that takes signed tokens."""

    @property
    def jwt_algorithm(self) -> str: ...
    @property
    def jwt_key(self) -> FilePath | None: ...
    @property
    def jwt_secret(self) -> SecretStr | None: ...
    @property
    def jwt_issuer(self) -> str | None: ...
    @property
    def jwt_leeway_ms(self) -> int: ...


class InvalidToken(Portable):
    """Why a token is not accepted; the text never repeats any of it."""


@dataclass(frozen=True)
class TokenVerifier:
    """Verifies tokens by one key and one algorithm."""

    key: Any
    algorithm: str
    issuer: str | None
    audience: str | None
    leeway_s: float
    required: Sequence[str]

    @classmethod
    def from_settings(
        cls, section: str, own: KeySettings, audience: str | None, required: Sequence[str]
    ) -> Self:
        """Read the key of a section; raise `ConfigurationError` for one that cannot be used."""
        return cls(
            _key(section, own),
            own.jwt_algorithm,
            own.jwt_issuer,
            audience,
            own.jwt_leeway_ms / 1000,
            required,
        )

    def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a valid token; raise `InvalidToken`."""
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self.key,
                algorithms=[self.algorithm],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.leeway_s,
                options={"require": [*self.required]},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(f"invalid token: {_reason(error)}") from None
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise InvalidToken("invalid token: it cannot be decoded") from None
        return claims


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


def _key(section: str, settings: KeySettings) -> Any:
    """Return the key as the algorithm wants it."""
    algorithm = jwt.get_algorithm_by_name(settings.jwt_algorithm)
    name, given = "jwt_key", _given(section, settings)
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
        raise ConfigurationError(f"{section}.{name}: {text[:300]}")
    return key


def _given(section: str, settings: KeySettings) -> bytes:
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value().encode()
    if settings.jwt_key is None:
        raise ConfigurationError(f"{section}.jwt_key: needs a key, or {section}.jwt_secret")
    try:
        with settings.jwt_key.open("rb") as file:
            return file.read(_LONGEST_KEY)
    except OSError as error:
        raise ConfigurationError(f"{section}.jwt_key: cannot be read: {error.strerror}") from None
