"""All settings: every field with its default, its bounds and what it means.

The sections ``redis`` and ``http``, which know more than values, have files of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, SecretStr

from galaxy_notify.settings.http import HttpSettings
from galaxy_notify.settings.redis import RedisSettings
from galaxy_notify.settings.values import (
    DAY_MS,
    MASK,
    YEAR_MS,
    Channel,
    Channels,
    Encoder,
    Group,
    Intents,
    Section,
    Stream,
    TypeName,
    TypeTime,
    masked_url,
)


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


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    names = [item.partition("=")[0] for item in value]
    if len(set(names)) != len(names):
        raise ValueError("must not name a type twice")
    return value


Types: TypeAlias = Annotated[tuple[TypeName, ...], Field(strict=False), AfterValidator(_once)]
Times: TypeAlias = Annotated[tuple[TypeTime, ...], Field(strict=False), AfterValidator(_once)]


class RulesSettings(Section):
    """What keeps a user from being told too often, beside the user's own preferences."""

    cooldown_ms: int = Field(
        0,
        ge=0,
        le=YEAR_MS,
        description="A user is not told of the same type again so soon, in ms, unless more "
        "severely; 0: no such rest.",
    )
    cooldowns: Times = Field(
        (),
        description="The same for single types as TYPE=MS, as in game.turn.ready=86400000 for "
        "24 hours.",
    )
    mandatory: Types = Field(
        (),
        description="Types that no preference silences or defers; of the cooldowns only their "
        "own holds.",
    )
    quiet_channels: Annotated[tuple[Channel, ...], Field(strict=False)] = Field(
        ("push",), description="Channels that wait for the end of a user's quiet hours."
    )


class LogSettings(Section):
    """What the log says, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least grave events to log."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, json otherwise."
    )


class IntakeSettings(Section):
    """The stream through which programs in any language hand intents in."""

    enabled: bool = Field(
        False, description="Read it as a part of run; galaxy-notify intake reads it in any case."
    )
    stream: Intents = Field(
        "gn:intents",
        description="Its key; what cannot be accepted goes to the key that ends in :rejects. In a "
        "cluster it begins with a hash tag, as in {gn-intents}.",
    )
    group: Group = Field("galaxy-notify", description="The consumer group of the readers.")
    batch_size: int = Field(
        200, ge=1, le=1000, description="Most entries to read, and to accept, at a time."
    )
    claim_idle_ms: int = Field(
        10_000,
        ge=100,
        le=DAY_MS,
        description="What a reader left behind is another's after so long, in ms; a living one "
        "keeps what it has in hand.",
    )
    max_deliveries: int = Field(
        5, ge=2, le=1000, description="An entry that was begun so often without an end is rejected."
    )
    max_bytes: int = Field(
        1_048_576, ge=1024, le=33_554_432, description="Bytes of one intent in the stream."
    )
    rejects_max: int = Field(
        10_000, ge=1, le=1_000_000_000, description="About how many rejects are kept."
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
        """Return where each ``section.field`` came from; ``default`` where it is not set."""
        return dict(self._sources)

    def masked(self) -> dict[str, dict[str, object]]:
        """Return all values by section and field as JSON can hold them, secrets masked."""
        return {
            section: {field: _shown(field, value) for field, value in getattr(self, section)}
            for section in type(self).model_fields
        }


def _shown(name: str, value: object) -> object:
    """Return a setting as JSON can hold it, its secrets masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_shown(name, item) for item in value]
    return masked_url(value) if name == "url" and isinstance(value, str) else value
