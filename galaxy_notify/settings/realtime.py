"""The section of the gateway: what it delivers, whom it lets in, and how much it holds."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

from galaxy_notify.settings.http import JwtAlgorithm
from galaxy_notify.settings.values import DAY_MS, YEAR_MS, Channels, FilePath, Section, number

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
#: A browser keeps a cookie of this name to the host that set it, and sends it by TLS only.
_COOKIE: Final = re.compile(r"__Host-[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("must be the origin of a page, such as https://app.example.com")
    return value


def _cookie(value: str) -> str:
    if value and not _COOKIE.fullmatch(value):
        raise ValueError("must begin with __Host- and be the name of a cookie")
    return value


Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
Cookie: TypeAlias = Annotated[str, AfterValidator(_cookie)]


class RealtimeSettings(Section):
    """The real-time streams of `galaxy-notify gateway`."""

    channels: Channels = Field(
        ("in_app", "push"),
        description="Channels whose events users see; unknown ones are ignored.",
    )
    history: int = number(
        100, (1, 300), "Events of a user that are kept, for clients that connect again."
    )
    history_ms: int = number(
        DAY_MS, (1000, YEAR_MS), "How long they are kept after the last of them, in ms."
    )
    presence_ttl_ms: int = number(
        30_000,
        (3000, 3_600_000),
        "How long a user counts as connected after a process has died, in ms.",
    )
    reorder_ms: int = number(
        100, (1, 60_000), "How long an event waits for an earlier one that is late, in ms."
    )
    buffer_events: int = number(
        64, (8, 10_000), "Messages that wait for a client before it is disconnected as slow."
    )
    buffer_bytes: int = number(
        262_144, (4096, 67_108_864), "The same in bytes; one larger message is always sent."
    )
    max_age_ms: int = number(
        600_000,
        (1000, DAY_MS),
        "How long a stream lasts before its client has to connect again, in ms; each up to 20 % "
        "more or less.",
    )
    ping_ms: int = number(25_000, (1000, 600_000), "Time between two keep-alive comments, in ms.")
    drain_ms: int = number(
        30_000, (0, 600_000), "Time over which a stop spreads the disconnects of clients, in ms."
    )
    max_connections: int = number(
        20_000, (1, 1_000_000), "Maximum connections of a process; more are sent away for a while."
    )
    streams_per_user: int = number(
        20, (1, 1000), "Maximum streams of a user on a process; a new one ends the oldest."
    )
    connects_per_s: int = number(
        200, (1, 100_000), "New streams per second on a process; more are sent away for a while."
    )
    consume: bool = Field(
        True, description="Deliver events from the gateway stream (in any process)."
    )
    serve: bool = Field(True, description="Accept connections (in any process).")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = number(8090, (0, 65_535), "Port to listen on; 0: any free port.")
    allowed_origins: Annotated[tuple[Origin, ...], Field(strict=False)] = Field(
        (),
        description="Origins of other hosts' pages that may connect, such as "
        "https://app.example.com.",
    )
    bell_origins: Annotated[tuple[Origin, ...], Field(strict=False)] = Field(
        (),
        description="Origins of pages that may show the bell page (/bell) in a frame; empty: there "
        "is no bell page.",
    )
    audience: str | None = Field(None, description="Required aud claim of a user's token.")
    jwt_algorithm: JwtAlgorithm = Field(
        "RS256", description="The only accepted signing algorithm of users' tokens."
    )
    jwt_key: FilePath | None = Field(
        None, description="File with the public key (PEM) that verifies users' tokens."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Shared secret instead of jwt_key, for HS256, HS384 and HS512; at least 32 "
        "bytes. Prefer the credential realtime__jwt_secret.",
    )
    jwt_issuer: str | None = Field(
        None, description="Required iss claim of a user's token; unset: any."
    )
    jwt_leeway_ms: int = number(
        10_000, (0, 300_000), "Allowed clock difference when checking exp and iat, in ms."
    )
    cookie: Cookie = Field(
        "",
        description="Name of a cookie that holds the same token, for pages of the same host; it "
        "must begin with __Host-. Empty: no cookie is read.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="Token for /metrics; unset: only this machine may read them. Prefer the "
        "credential realtime__metrics_token.",
    )
    reclaim_idle_ms: int = number(
        5000,
        (1000, 3_600_000),
        "Events pending for longer than this are another process's, in ms.",
    )

    @property
    def takes_jwt(self) -> bool:
        """Return whether a token can be verified."""
        return self.jwt_key is not None or self.jwt_secret is not None
