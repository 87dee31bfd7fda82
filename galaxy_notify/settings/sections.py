"""The sections of the settings: every field with its default, its bounds and what it means."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, PrivateAttr, SecretStr

from galaxy_notify.settings.base import FilePath, Section
from galaxy_notify.settings.display import shown_value
from galaxy_notify.settings.http import HttpSettings
from galaxy_notify.settings.intake import IntakeSettings
from galaxy_notify.settings.ruling import RulesSettings
from galaxy_notify.settings.values import (
    DAY_MS,
    YEAR_MS,
    Channels,
    Durability,
    Encoder,
    HostPort,
    Prefix,
    Stream,
    Url,
    credential_text,
)


class RedisSettings(Section):
    """The server that keeps all state."""

    url: Url = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Where Redis or Valkey is: redis://, rediss:// (TLS), unix://, valkey:// or "
        "valkeys://; or the word embedded for a server of our own. Better without the password.",
    )
    prefix: Prefix = Field(
        "gn", description="What the name of every key begins with; one per deployment."
    )
    username: str | None = Field(None, description="The ACL user to log in as.")
    password: SecretStr | None = Field(
        None, description="Its password; better given as the credential redis__password."
    )
    cluster: bool = Field(
        False, description="Redis Cluster: the URL names one of its nodes, the others are found."
    )
    sentinels: tuple[HostPort, ...] = Field(
        (),
        strict=False,
        description="Sentinels as HOST:PORT, best all of them. They say where the primary is; of "
        "the URL only the scheme, the login and the database count.",
    )
    sentinel_master: str = Field(
        "mymaster", min_length=1, description="The name of the primary that the sentinels watch."
    )
    sentinel_password: SecretStr | None = Field(None, description="The sentinels' own password.")
    tls_ca: FilePath | None = Field(
        None, description="A file of CA certificates to trust instead of the system's."
    )
    tls_cert: FilePath | None = Field(
        None, description="Our certificate, for a server that asks for one; needs tls_key."
    )
    tls_key: FilePath | None = Field(None, description="The key of tls_cert.")
    state_dir: FilePath | None = Field(
        None,
        description="Where the embedded server keeps its data; unset: $STATE_DIRECTORY, else "
        "$XDG_STATE_HOME/galaxy-notify, else ~/.local/state/galaxy-notify.",
    )
    durability: Durability = Field(
        "none",
        description="What a write waits for before it is called done: none, replicas:N, or aof "
        "(the primary's disk; Redis 7.2 or Valkey with appendfsync always).",
    )
    max_waiting: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="How many calls of one process may wait in line for a connection; one more "
        "is refused as busy, and nothing of it is sent.",
    )

    _password_file: Path | None = PrivateAttr(None)

    @property
    def password_file(self) -> Path | None:
        """Return the credential file that the password came from, if it did."""
        return self._password_file

    def current_password(self) -> str | None:
        """Return the password as it is now: a credential is read again at every call."""
        if self._password_file is not None:
            with suppress(OSError, UnicodeDecodeError):
                return credential_text(self._password_file) or None
        return self.password.get_secret_value() if self.password else None


class WorkerSettings(Section):
    """How routes are claimed and published."""

    shards: int = Field(
        1, ge=1, le=1024, description="Parts that the state is divided into; fixed once in use."
    )
    channels: Channels = Field(("push",), description="The channels of this deployment.")
    slots: int = Field(2, ge=1, le=16, description="Batches in hand at a time, per shard.")
    batch_size: int = Field(128, ge=1, le=256, description="Routes claimed in one call.")
    lease_ttl_ms: int = Field(
        30_000,
        ge=100,
        le=DAY_MS,
        description="How long a claimed route is one worker's own, in ms; after a crash it is "
        "claimed again when this has passed.",
    )
    poll_interval_ms: int = Field(
        1000, ge=10, le=DAY_MS, description="Longest rest between two looks for due routes, in ms."
    )
    max_abandoned: int = Field(
        5,
        ge=2,
        le=1000,
        description="A route that so many workers left behind without an outcome is buried.",
    )


class RetrySettings(Section):
    """What happens after an attempt that failed for a while only."""

    max_attempts: int = Field(
        8, ge=1, le=1000, description="Attempts before a dead letter, where the intent says none."
    )
    backoff_min_ms: int = Field(
        1000, ge=1, le=YEAR_MS, description="Delay after the first failure, in ms; then doubling."
    )
    backoff_max_ms: int = Field(
        60_000, ge=1, le=YEAR_MS, description="Longest delay between two attempts, in ms."
    )
    jitter: Literal["full", "none"] = Field(
        "full", description="full: a random part of the delay; none: exactly the delay."
    )


class GatewaySettings(Section):
    """The stream that gateways read."""

    stream: Stream = Field(
        "",
        description="Its key; empty: the shard's own. A name works with one shard only.",
    )
    encoder: Encoder = Field(
        "msgpack", description="Form of payload_bytes: msgpack, json or module:attribute."
    )
    max_len: int = Field(
        100_000, ge=1, le=1_000_000_000, description="Entries that a stream keeps."
    )
    trim: Literal["acknowledged", "always", "none"] = Field(
        "acknowledged",
        description="Beyond max_len drop: acknowledged: what every group has acknowledged; "
        "always: the oldest, read or not; none: nothing.",
    )
    group_idle_ms: int = Field(
        DAY_MS,
        ge=1,
        le=YEAR_MS,
        description="A group unseen for so long holds back no trimming, in ms.",
    )
    on_refused: Literal["hold", "retry"] = Field(
        "hold",
        description="When the stream takes nothing: hold: wait, spending no attempt; retry: "
        "spend one.",
    )


class RetentionSettings(Section):
    """How long what is done with is kept."""

    settled_ms: int = Field(
        3_600_000, ge=1, le=YEAR_MS, description="A notification without open routes, in ms."
    )
    idempotency_ms: int = Field(
        DAY_MS, ge=0, le=YEAR_MS, description="The same, where it has an idempotency key, in ms."
    )
    dead_ms: int = Field(0, ge=0, le=YEAR_MS, description="A dead letter, in ms; 0: for ever.")
    dead_max: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Dead letters per shard and channel, the oldest go first; 0: any number.",
    )


class LimitsSettings(Section):
    """How large an intent may be."""

    max_payload_bytes: int = Field(
        262_144, ge=128, le=4_194_304, description="Bytes of one event's payload."
    )
    max_routes: int = Field(
        1000, ge=1, le=1000, description="Routes in one part; a larger intent becomes parts."
    )
    past_due_ms: int = Field(
        0,
        ge=0,
        le=YEAR_MS,
        description="How long ago a due time may be and mean now, in ms; 0: as long as it likes.",
    )


class LogSettings(Section):
    """What the log says, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least grave events to log."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, json otherwise."
    )


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """All settings of a deployment, checked, with where each one came from."""

    redis: RedisSettings = Field(default_factory=RedisSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    rules: RulesSettings = Field(default_factory=RulesSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    intake: IntakeSettings = Field(default_factory=IntakeSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """Return where each ``section.field`` came from; ``default`` when nobody set it."""
        return dict(self._sources)

    def masked(self) -> dict[str, dict[str, object]]:
        """Return all values by section and field as JSON can hold them, secrets masked."""
        return {
            section: {field: shown_value(field, value) for field, value in getattr(self, section)}
            for section in type(self).model_fields
        }
