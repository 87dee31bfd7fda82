"""The settings of a whole deployment, kept in Redis and compared at every connect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.decision import delay_of
from galaxy_notify.model.ids import CHANNEL, part_id, shard_of
from galaxy_notify.model.refusals import shown
from galaxy_notify.redis_state.keys import Keys

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

_PARTS_LOOKED_FOR: Final = 1000
_NUMBER: Final = re.compile("[0-9]{1,18}")
#: The layout of the keys and values; a daemon refuses to work on another one.
STATE_FORMAT: Final = 2
# Each shared setting → the section that it is set in.
_SECTION_OF: Final = {
    **dict.fromkeys(("shards", "channels"), "worker"),
    **dict.fromkeys(("stream", "max_len", "trim"), "gateway"),
    **dict.fromkeys(("max_payload_bytes", "max_routes", "past_due_ms"), "limits"),
    **dict.fromkeys(("settled_ms", "idempotency_ms"), "retention"),
    **dict.fromkeys(("cooldown_ms", "cooldowns", "mandatory"), "rules"),
    **dict.fromkeys(("quiet_channels", "default_channels"), "rules"),
    "max_attempts": "retry",
}
# What follows from the sections ``channels.NAME``.
_OF_CHANNELS: Final = ("external", "delays")
_CHANNEL: Final = re.compile(CHANNEL)
_DELAY: Final = re.compile(rf"({CHANNEL})=([1-9][0-9]{{0,10}})")


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """The settings that producers, workers and consumers must share."""

    format: int = STATE_FORMAT
    shards: int = 1
    stream: str = ""
    channels: tuple[str, ...] = ("push",)
    max_payload_bytes: int = 262_144
    max_routes: int = 1000
    past_due_ms: int = 0
    max_len: int = 100_000
    trim: str = "acknowledged"
    max_attempts: int = 8
    settled_ms: int = 3_600_000
    idempotency_ms: int = 86_400_000
    cooldown_ms: int = 0
    cooldowns: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()
    quiet_channels: tuple[str, ...] = ("push",)
    default_channels: tuple[str, ...] = ("push",)
    #: The channels by which we send to the world ourselves.
    external: tuple[str, ...] = ()
    #: Of each external channel with a delay ``NAME=MS``.
    delays: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> SharedSettings:
        """Return what these settings ask of the deployment."""
        agreed = {
            name: getattr(getattr(settings, home), name) for name, home in _SECTION_OF.items()
        }
        channels = settings.channels
        delays = (f"{name}={one.delay_ms}" for name, one in channels.items() if one.delay_ms)
        return cls(**agreed, external=tuple(sorted(channels)), delays=tuple(sorted(delays)))

    @classmethod
    def from_meta(cls, meta: Mapping[Any, Any]) -> SharedSettings:
        """Read what Redis holds; a field that is absent has its default."""
        given = {name.decode("utf-8", "replace"): value for name, value in meta.items()}
        default = cls()
        values: dict[str, Any] = {}
        for each in fields(cls):
            if (raw := given.get(each.name)) is not None:
                values[each.name] = _parsed_field(each.name, raw, getattr(default, each.name))
        return replace(default, **values)

    def as_meta(self) -> dict[str, str]:
        """Return the fields to store."""
        stored = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in stored.items()
        }

    @property
    def defaults(self) -> tuple[str, ...]:
        """Return the channels of an intent that names none; those not deployed are left out."""
        return tuple(channel for channel in self.default_channels if channel in self.channels)

    @property
    def delays_by_channel(self) -> tuple[tuple[str, int], ...]:
        """Return each channel with a delay, and how much later than the others it delivers."""
        return _delays(self.delays)

    def delay_of(self, channel: str) -> int:
        """Return the delay of a channel in ms; 0 for none."""
        return delay_of(_delays(self.delays), channel) if self.delays else 0

    @property
    def longest_delay_ms(self) -> int:
        """Return the longest delay of a channel; 0 if none has any."""
        return max((ms for _, ms in _delays(self.delays)), default=0)

    def keep_ms(self, *, keyed: bool, kind: str = "") -> int:
        """Return how long a notification is kept once no route needs it.

        One of a *kind* with a cooldown is kept for that long: its routes show whether it was
        delivered. An unknown kind counts as the one with the longest cooldown.
        """
        kept = max(self.settled_ms, self.idempotency_ms) if keyed else self.settled_ms
        if not self.has_cooldowns:
            return kept
        if not kind:
            return max(kept, self.cooldown_ms, *_cooldowns(self.cooldowns).values())
        return max(kept, self.cooldown_of(kind))

    def keeps_ms(self, kind: str | None = None) -> tuple[int, int]:
        """Return `keep_ms` without and with a key; None is any type without its own cooldown."""
        cooldown = self.cooldown_ms if kind is None else self.cooldown_of(kind)
        kept = max(self.settled_ms, cooldown)
        return kept, max(kept, self.idempotency_ms)

    @property
    def types_with_cooldowns(self) -> frozenset[str]:
        """Return the types whose cooldown is not that of the others."""
        return frozenset((*_cooldowns(self.cooldowns), *self.mandatory))

    @property
    def has_cooldowns(self) -> bool:
        """Return whether any type has a cooldown."""
        return bool(self.cooldown_ms or self.cooldowns)

    def cooldown_of(self, kind: str) -> int:
        """Return the cooldown of a type in ms; 0 for none."""
        usual = 0 if kind in self.mandatory else self.cooldown_ms
        return _cooldowns(self.cooldowns).get(kind, usual)

    def check_format(self) -> None:
        """Raise `ConfigurationError` for state in the format of another version."""
        if self.format != STATE_FORMAT:
            raise ConfigurationError(
                f"this deployment has state format {self.format}, this version writes"
                f" {STATE_FORMAT}: run the version that wrote it"
            )

    def check_against(self, found: SharedSettings) -> None:
        """Refuse to share a deployment whose keys lie elsewhere; raise `ConfigurationError`."""
        found.check_format()
        if found.shards != self.shards:
            raise ConfigurationError(
                f"worker.shards: {self.shards}, but this deployment has {found.shards}:"
                f" set it to {found.shards}, or choose another redis.prefix"
            )


@lru_cache(maxsize=64)
def _cooldowns(stored: tuple[str, ...]) -> dict[str, int]:
    pairs = (item.partition("=") for item in stored)
    return {kind: int(ms) for kind, _, ms in pairs}


@lru_cache(maxsize=64)
def _delays(stored: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    pairs = (item.partition("=") for item in stored)
    return tuple((name, int(ms)) for name, _, ms in pairs)


def _parsed_field(name: str, raw: bytes, default: Any) -> Any:
    text = raw.decode("utf-8", "replace")
    items = tuple(text.split(",")) if text else ()
    value: Any = items if isinstance(default, tuple) else text
    if isinstance(default, int):
        if not _NUMBER.fullmatch(text):
            raise ConfigurationError(f"the deployment's meta field {name} is not a number")
        value = int(text)
    try:
        # What is no text is not the key, or the name, that it would be taken for.
        raw.decode()
        _check_field(name, value)
    except ValueError:  # of pydantic and of UTF-8, too
        problem = f"the deployment's meta field {name} cannot be {shown(text)}"
        raise ConfigurationError(
            f"{problem}: remove it, the next daemon that starts writes it"
        ) from None
    return value


def _check_field(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless what is stored obeys the rules of the setting."""
    if name in _SECTION_OF:
        # Loaded here: an import of the notifier does not build the models of all sections.
        from galaxy_notify.settings import Settings

        section: Any = Settings.model_fields[_SECTION_OF[name]].annotation
        section.model_validate({name: value})
    elif name in _OF_CHANNELS:
        form = _DELAY if name == "delays" else _CHANNEL
        if not all(form.fullmatch(one) for one in value):
            raise ValueError(name)


_keys: Final = lru_cache(maxsize=1024)(Keys)


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Where everything of a deployment lies."""

    prefix: str
    shared: SharedSettings

    def keys(self, shard: int) -> Keys:
        """Return the keys of one shard."""
        return _keys(self.prefix, shard, self.shared.stream)

    def keys_for(self, notification_id: str) -> Keys:
        """Return the keys of the shard that holds this notification or part."""
        shards = self.shared.shards
        return self.keys(0 if shards == 1 else shard_of(notification_id, shards))

    def keys_of_user(self, user: str) -> Keys:
        """Return the keys of the shard that holds what is kept of this user."""
        return self.keys_for(user)

    def later_parts(self, notification_id: str, parts: int) -> Iterator[Parts]:
        """Return every part after the first, many at a time."""
        for start in range(2, parts + 1, _PARTS_LOOKED_FOR):
            end = min(start + _PARTS_LOOKED_FOR, parts + 1)
            yield Parts(self, [part_id(notification_id, at) for at in range(start, end)])

    @property
    def all_keys(self) -> list[Keys]:
        """Return the keys of every shard."""
        return [self.keys(shard) for shard in range(self.shared.shards)]


class Parts(NamedTuple):
    """Some parts of a notification; the stored number may be wrong, and most may be gone."""

    key_space: KeySpace
    names: list[str]

    def counting(self) -> list[list[str]]:
        """Return the commands, one for each shard, that count which of them are there."""
        by_shard: dict[Keys, list[str]] = {}
        for name in self.names:
            by_shard.setdefault(self.key_space.keys_for(name), []).append(name)
        return [["EXISTS", *map(keys.notification, names)] for keys, names in by_shard.items()]
