"""The section of the HTTP API: where it listens, what it takes, and whom it lets in."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

from galaxy_notify.model.ids import NAME
from galaxy_notify.settings.values import FilePath, Section, number

#: What a client may do. An operator may also look; each may only what it has a scope for.
SCOPES: Final = ("producer", "operator", "read-only")
#: With these the key is a secret that both sides know; with the others it is a public key.
SHARED: Final = ("HS256", "HS384", "HS512")
LEAST_SECRET: Final = 32
JwtAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip
_TOKEN: Final = re.compile(
    rf"(?P<name>{NAME}):(?P<scopes>[a-z+-]+):(?P<digest>[0-9a-f]{{64}})"
    rf"(?::producer=(?P<producers>{NAME}(?:\+{NAME})*))?"
)
_FORM: Final = (
    "must be NAME:SCOPE+SCOPE:SHA256 or NAME:SCOPE+SCOPE:SHA256:producer=NAME+NAME,"
    " as `galaxy-notify config hash-token` prints it"
)


class Token(NamedTuple):
    """An API client: its name, its scopes, and the SHA-256 of its token in hex.

    With *producers* it is bound to what they handed in.
    """

    name: str
    scopes: frozenset[str]
    digest: str
    producers: frozenset[str] | None = None


def parse_token(entry: str) -> Token:
    """Read an entry of ``http.tokens``; raise ``ValueError`` with the rule that it breaks."""
    match = _TOKEN.fullmatch(entry)
    if match is None:
        raise ValueError(_FORM)
    scopes = match["scopes"].split("+")
    if unknown := sorted({*scopes} - {*SCOPES}):
        raise ValueError(f"has no scope {unknown[0]!r}: there are {', '.join(SCOPES)}")
    bound = match["producers"]
    producers = frozenset(bound.split("+")) if bound else None
    return Token(match["name"], frozenset(scopes), match["digest"], producers)


@lru_cache(maxsize=128)
def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tokens(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    names: set[str] = set()
    for place, entry in enumerate(value, 1):
        try:
            name = parse_token(entry.get_secret_value()).name
        except ValueError as error:
            raise ValueError(f"entry {place} {error}") from None
        if name in names:
            raise ValueError(f"entry {place} must not repeat {name}")
        names.add(name)
    return value


Tokens: TypeAlias = Annotated[tuple[SecretStr, ...], Field(strict=False), AfterValidator(_tokens)]


class HttpSettings(Section):
    """The HTTP API of `galaxy-notify serve`."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Without tokens or jwt_* it must be a loopback address.",
    )
    port: int = number(8080, (0, 65_535), "Port to listen on; 0: any free port.")
    workers: int = number(
        1, (1, 64), "Processes that serve the address; each has its own limits and connections."
    )
    max_body_bytes: int = number(
        4_194_304, (1024, 67_108_864), "Maximum size of a request body, in bytes."
    )
    max_batch: int = number(1000, (1, 10_000), "Maximum intents in one request.")
    max_requests: int = number(
        256, (1, 10_000), "Maximum concurrent requests; further ones are answered with 503."
    )
    body_ms: int = number(
        10_000, (100, 600_000), "Time allowed for a request body to arrive, in ms."
    )
    shutdown_ms: int = number(
        10_000, (0, 600_000), "Time allowed for in-flight requests at shutdown, in ms."
    )
    tokens: Tokens = Field(
        (),
        description="API clients, as NAME:SCOPE+SCOPE:SHA256 with the scopes producer, operator "
        "and read-only; append :producer=NAME+NAME to limit a client to these producers. "
        "`galaxy-notify config hash-token` creates an entry from a token.",
    )
    jwt_algorithm: JwtAlgorithm = Field(
        "RS256", description="The only accepted JWT signing algorithm."
    )
    jwt_key: FilePath | None = Field(
        None, description="File with the public key (PEM) that verifies JWTs."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Shared secret instead of jwt_key, for HS256, HS384 and HS512; at least 32 "
        "bytes. Prefer the credential http__jwt_secret.",
    )
    jwt_issuer: str | None = Field(None, description="Required iss claim of a JWT.")
    jwt_audience: str | None = Field(None, description="Required aud claim of a JWT.")
    jwt_scope_claim: str = Field(
        "scope",
        min_length=1,
        description="JWT claim with the scopes: a list, or text separated by spaces.",
    )
    jwt_scope_prefix: str = Field(
        "", description="Prefix of galaxy-notify scopes in that claim, such as galaxy-notify:"
    )
    jwt_leeway_ms: int = number(
        10_000, (0, 300_000), "Allowed clock difference when checking exp, nbf and iat, in ms."
    )

    @property
    def clients(self) -> list[Token]:
        """Return the services that may call with a token."""
        return [parse_token(entry.get_secret_value()) for entry in self.tokens]

    @property
    def takes_jwt(self) -> bool:
        """Return whether a JWT opens the door."""
        return self.jwt_key is not None or self.jwt_secret is not None

    @property
    def is_guarded(self) -> bool:
        """Return whether a caller has to say who it is."""
        return bool(self.tokens) or self.takes_jwt
