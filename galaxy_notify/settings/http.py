"""The section of the HTTP API: where it listens, what it takes, and whom it lets in."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

from galaxy_notify.model.ids import NAME
from galaxy_notify.settings.values import FilePath, Section

#: What a client may do. An operator may also look; each may only what it has a scope for.
SCOPES: Final = ("producer", "operator", "read-only")
#: With these the key is a secret that both sides know; with the others it is a public key.
SHARED: Final = ("HS256", "HS384", "HS512")
LEAST_SECRET: Final = 32
_TOKEN: Final = re.compile(
    rf"(?P<name>{NAME}):(?P<scopes>[a-z+-]+):(?P<digest>[0-9a-f]{{64}})"
    rf"(?::producer=(?P<producers>{NAME}(?:\+{NAME})*))?"
)
_FORM: Final = (
    "must be NAME:SCOPE+SCOPE:SHA256 or NAME:SCOPE+SCOPE:SHA256:producer=NAME+NAME,"
    " as `galaxy-notify config hash-token` prints it"
)


class Token(NamedTuple):
    """A service that may call: its name, what it may do, and the SHA-256 of its token in hex.

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


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tokens(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    names: set[str] = set()
    for number, entry in enumerate(value, 1):
        try:
            name = parse_token(entry.get_secret_value()).name
        except ValueError as error:
            raise ValueError(f"entry {number} {error}") from None
        if name in names:
            raise ValueError(f"entry {number} must not name {name} again")
        names.add(name)
    return value


Tokens: TypeAlias = Annotated[tuple[SecretStr, ...], Field(strict=False), AfterValidator(_tokens)]


class HttpSettings(Section):
    """The HTTP API of `galaxy-notify serve`."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="The address to listen on. Without tokens or jwt_* only one of this machine.",
    )
    port: int = Field(8080, ge=0, le=65_535, description="Its port; 0: any that is free.")
    max_body_bytes: int = Field(
        4_194_304, ge=1024, le=67_108_864, description="Bytes of a request's body."
    )
    max_batch: int = Field(1000, ge=1, le=10_000, description="Intents in one request.")
    max_requests: int = Field(
        256, ge=1, le=10_000, description="Requests in hand at a time; more are answered 503."
    )
    body_ms: int = Field(
        10_000, ge=100, le=600_000, description="How long a request may take to arrive, in ms."
    )
    shutdown_ms: int = Field(
        10_000,
        ge=0,
        le=600_000,
        description="How long a stop waits for requests in hand, in ms.",
    )
    tokens: Tokens = Field(
        (),
        description="Services that may call, as NAME:SCOPE+SCOPE:SHA256 with the scopes producer, "
        "operator and read-only; with :producer=NAME+NAME behind it bound to these producers; "
        "`galaxy-notify config hash-token` makes an entry of a token.",
    )
    jwt_algorithm: Literal[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
        "HS256", "HS384", "HS512",
    ] = Field("RS256", description="The one algorithm in which a JWT may be signed.")  # fmt: skip
    jwt_key: FilePath | None = Field(
        None, description="A file with the public key (PEM) that JWTs are signed for."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Instead of jwt_key, with HS256 and its like: the secret, of 32 bytes or more; "
        "better given as the credential http__jwt_secret.",
    )
    jwt_issuer: str | None = Field(None, description="The iss that a JWT must have.")
    jwt_audience: str | None = Field(None, description="The aud that a JWT must have.")
    jwt_scope_claim: str = Field(
        "scope", min_length=1, description="The claim with the scopes: a list, or text with blanks."
    )
    jwt_scope_prefix: str = Field(
        "", description="What stands before our scopes there, such as galaxy-notify:"
    )
    jwt_leeway_ms: int = Field(
        10_000, ge=0, le=300_000, description="How far the clocks of both sides may differ, in ms."
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
