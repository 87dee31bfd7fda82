"""All settings: every field with its default, its bounds and what it means.

The sections ``redis``, ``worker``, ``http``, ``realtime``, ``feed``, ``channels.NAME`` and
``contacts`` have files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
)

from galaxy_notify.settings.channels import ChannelSettings
from galaxy_notify.settings.contacts import ContactsSettings
from galaxy_notify.settings.feed import FeedSettings
from galaxy_notify.settings.http import HttpSettings
from galaxy_notify.settings.realtime import RealtimeSettings
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
    number,
)
from galaxy_notify.settings.worker import WorkerSettings


class RetrySettings(Section):
    """Retries after an attempt that failed temporarily."""

    max_attempts: int = number(
        8,
        (1, 1000),
        "Attempts before a route is dead-lettered, unless the intent sets its own limit.",
    )
    backoff_min_ms: int = number(
        1000,
        (1, YEAR_MS),
        "Delay after the first failure, in ms; doubles with each further failure.",
    )
    backoff_max_ms: int = number(60_000, (1, YEAR_MS), "Maximum delay between two attempts, in ms.")
    jitter: Literal["full", "none"] = Field(
        "full", description="full: a random part of the delay; none: exactly the delay."
    )


class GatewaySettings(Section):
    """The gateway stream."""

    stream: Stream = Field(
        "",
        description="Key of the gateway stream; empty: one stream per shard. A name requires "
        "worker.shards = 1.",
    )
    encoder: Encoder = Field(
        "msgpack", description="Encoding of payload_bytes: msgpack, json or module:attribute."
    )
    max_len: int = number(100_000, (1, 1_000_000_000), "Maximum entries that a stream keeps.")
    trim: Literal["acknowledged", "always", "none"] = Field(
        "acknowledged",
        description="What to trim beyond max_len: acknowledged: entries that every group has "
        "acknowledged; always: the oldest entries, read or not; none: nothing.",
    )
    group_idle_ms: int = number(
        DAY_MS, (1, YEAR_MS), "A group idle for longer than this no longer blocks trimming, in ms."
    )
    on_refused: Literal["hold", "retry"] = Field(
        "hold",
        description="When the stream refuses writes: hold: wait, without using an attempt; retry: "
        "use an attempt.",
    )


class RetentionSettings(Section):
    """How long finished notifications and dead letters are kept."""

    settled_ms: int = number(
        3_600_000, (1, YEAR_MS), "How long a notification without open routes is kept, in ms."
    )
    idempotency_ms: int = number(
        DAY_MS, (0, YEAR_MS), "The same for a notification with an idempotency key, in ms."
    )
    dead_ms: int = number(0, (0, YEAR_MS), "How long a dead letter is kept, in ms; 0: forever.")
    dead_max: int = number(
        0,
        (0, 1_000_000_000),
        "Maximum dead letters per shard and channel; the oldest are purged first; 0: unlimited.",
    )


class LimitsSettings(Section):
    """Limits for intents."""

    max_payload_bytes: int = number(
        262_144, (128, 4_194_304), "Maximum size of an event's payload, in bytes."
    )
    max_routes: int = number(
        1000,
        (1, 1000),
        "Maximum routes in one part, or recipients if the intent names no channels; a larger "
        "intent is split into parts.",
    )
    past_due_ms: int = number(
        0,
        (0, YEAR_MS),
        "How far in the past due_at may be (it then means now), in ms; 0: no limit.",
    )


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    names = [item.partition("=")[0] for item in value]
    if len(set(names)) != len(names):
        raise ValueError("must not contain a type twice")
    return value


Types: TypeAlias = Annotated[tuple[TypeName, ...], Field(strict=False), AfterValidator(_once)]
Times: TypeAlias = Annotated[tuple[TypeTime, ...], Field(strict=False), AfterValidator(_once)]


class RulesSettings(Section):
    """Rules that limit what users receive, in addition to their own preferences."""

    cooldown_ms: int = number(
        0,
        (0, YEAR_MS),
        "Minimum time between two notifications of one type to one user, in ms, unless the later "
        "one is more severe; 0: no cooldown.",
    )
    cooldowns: Times = Field(
        (),
        description="Cooldowns of single types as TYPE=MS, such as game.turn.ready=86400000 for "
        "24 hours.",
    )
    mandatory: Types = Field(
        (),
        description="Types that ignore users' preferences and quiet hours; only a cooldown set "
        "for the type itself applies.",
    )
    quiet_channels: Annotated[tuple[Channel, ...], Field(strict=False)] = Field(
        ("push",),
        description="Channels that are deferred until a user's quiet hours end; in_app never is.",
    )
    default_channels: Channels = Field(
        ("push",),
        description="Channels of an intent that names none, where the recipient's preferences do "
        "not either; those missing in worker.channels are ignored.",
    )


class LogSettings(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum log level."
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, otherwise json."
    )


class IntakeSettings(Section):
    """The intent stream, through which programs in any language submit intents."""

    enabled: bool = Field(
        False,
        description="Read the intent stream inside the daemon (run); `galaxy-notify "
        "intake` reads it regardless.",
    )
    stream: Intents = Field(
        "gn:intents",
        description="Key of the intent stream; rejected entries go to this key with :rejects "
        "appended. In a cluster it must begin with a hash tag, such as {gn-intents}.",
    )
    group: Group = Field("galaxy-notify", description="Consumer group of the readers.")
    batch_size: int = number(200, (1, 1000), "Maximum entries read and accepted in one batch.")
    claim_idle_ms: int = number(
        10_000,
        (100, DAY_MS),
        "Entries pending for longer than this are claimed by another reader, in ms; a live reader"
        " keeps renewing its own.",
    )
    max_deliveries: int = number(
        5, (2, 1000), "An entry delivered this many times without a result is rejected."
    )
    max_bytes: int = number(1_048_576, (1024, 33_554_432), "Maximum size of one intent, in bytes.")
    rejects_max: int = number(
        10_000, (1, 1_000_000_000), "Approximate maximum number of rejects kept."
    )


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """All validated settings of a deployment, with the source of each."""

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
    realtime: RealtimeSettings = Field(default_factory=RealtimeSettings)
    feed: FeedSettings = Field(default_factory=FeedSettings)
    contacts: ContactsSettings = Field(default_factory=ContactsSettings)
    channels: Mapping[str, ChannelSettings] = Field(default_factory=dict)

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> dict[str, str]:
        """Return where each ``section.field`` came from; ``default`` where it is not set."""
        return dict(self._sources)

    @property
    def stream_channels(self) -> tuple[str, ...]:
        """Return the channels that this process publishes to the gateway stream."""
        return tuple(name for name in self.worker.served if name not in self.channels)

    @property
    def external_channels(self) -> tuple[str, ...]:
        """Return the external channels that this process sends for."""
        return tuple(name for name in self.worker.served if name in self.channels)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield every section with its name; the external channels come last."""
        for name in type(self).model_fields:
            if name != "channels":
                yield name, getattr(self, name)
        for name, channel in self.channels.items():
            yield f"channels.{name}", channel

    def masked(self) -> dict[str, dict[str, object]]:
        """Return all values by section and field as JSON can hold them, secrets masked."""
        return {
            name: {field: _shown(field, value) for field, value in section}
            for name, section in self.sections()
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
