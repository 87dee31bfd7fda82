"""What a whole deployment agrees on, kept in Redis and compared by whoever connects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio
from pydantic import BaseModel, ValidationError

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.ids import part_id, shard_of
from galaxy_notify.model.refusals import shown
from galaxy_notify.redis_state.durability import Confirm
from galaxy_notify.redis_state.faults import REDIS_ERRORS, Remedy
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.nodes import at_shard
from galaxy_notify.redis_state.runner import RedisFault, fault_of, run_all, run_all_sync
from galaxy_notify.redis_state.scripts import Read
from galaxy_notify.settings import (
    GatewaySettings,
    LimitsSettings,
    RetentionSettings,
    RetrySettings,
    Settings,
    WorkerSettings,
)

_PARTS_LOOKED_FOR: Final = 1000
_NUMBER: Final = re.compile("[0-9]{1,18}")
# What is stored obeys the rules of the setting that it came from.
_SECTIONS: Final[Mapping[str, type[BaseModel]]] = {
    **dict.fromkeys(("shards", "channels"), WorkerSettings),
    **dict.fromkeys(("stream", "max_len", "trim"), GatewaySettings),
    **dict.fromkeys(("max_payload_bytes", "max_routes"), LimitsSettings),
    **dict.fromkeys(("settled_ms", "idempotency_ms"), RetentionSettings),
    "max_attempts": RetrySettings,
}
#: The layout of the keys and values; a daemon refuses to work on another one.
STATE_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Deployment:
    """The settings that producers, workers and consumers must share."""

    format: int = STATE_FORMAT
    shards: int = 1
    stream: str = ""
    channels: tuple[str, ...] = ("push",)
    max_payload_bytes: int = 262_144
    max_routes: int = 1000
    max_len: int = 100_000
    trim: str = "acknowledged"
    max_attempts: int = 8
    settled_ms: int = 3_600_000
    idempotency_ms: int = 86_400_000

    @classmethod
    def from_settings(cls, settings: Settings) -> Deployment:
        """Return what these settings ask of the deployment."""
        return cls(
            shards=settings.worker.shards,
            stream=settings.gateway.stream,
            channels=tuple(settings.worker.channels),
            max_payload_bytes=settings.limits.max_payload_bytes,
            max_routes=settings.limits.max_routes,
            max_len=settings.gateway.max_len,
            trim=settings.gateway.trim,
            max_attempts=settings.retry.max_attempts,
            settled_ms=settings.retention.settled_ms,
            idempotency_ms=settings.retention.idempotency_ms,
        )

    @classmethod
    def from_meta(cls, meta: Mapping[Any, Any]) -> Deployment:
        """Read what Redis holds; a field that is absent has its default."""
        given = {name.decode("utf-8", "replace"): value for name, value in meta.items()}
        default = cls()
        values: dict[str, Any] = {}
        for field in fields(cls):
            if (raw := given.get(field.name)) is not None:
                values[field.name] = _read(field.name, raw, getattr(default, field.name))
        return replace(default, **values)

    def as_meta(self) -> dict[str, str]:
        """Return the fields to store."""
        stored = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in stored.items()
        }

    def keep_ms(self, *, keyed: bool) -> int:
        """Return how long a notification is kept once no route needs it."""
        return max(self.settled_ms, self.idempotency_ms) if keyed else self.settled_ms

    def check_format(self) -> None:
        """Refuse what another version keeps otherwise; raise `ConfigurationError`."""
        if self.format != STATE_FORMAT:
            raise ConfigurationError(
                f"this deployment has state format {self.format}, this version writes"
                f" {STATE_FORMAT}: run the version that wrote it"
            )

    def check_against(self, found: Deployment) -> None:
        """Refuse to share a deployment whose keys lie elsewhere; raise `ConfigurationError`."""
        found.check_format()
        if found.shards != self.shards:
            raise ConfigurationError(
                f"worker.shards: {self.shards}, but this deployment has {found.shards}:"
                f" set it to {found.shards}, or choose another redis.prefix"
            )


def _read(name: str, raw: bytes, default: Any) -> Any:
    text = raw.decode("utf-8", "replace")
    value: Any = tuple(text.split(",")) if isinstance(default, tuple) else text
    if isinstance(default, int):
        if not _NUMBER.fullmatch(text):
            raise ConfigurationError(f"the deployment's meta field {name} is not a number")
        value = int(text)
    if name in _SECTIONS:
        try:
            # What is no text is not the key, or the name, that it would be taken for.
            raw.decode()
            _SECTIONS[name].model_validate({name: value})
        except (ValidationError, UnicodeDecodeError):
            problem = f"the deployment's meta field {name} cannot be {shown(text)}"
            raise ConfigurationError(f"{problem}: remove it, a starting daemon writes it") from None
    return value


@lru_cache(maxsize=1024)
def _keys(prefix: str, shard: int, stream: str) -> Keys:
    return Keys(prefix, shard, stream)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a deployment lies."""

    prefix: str
    deployment: Deployment

    def keys(self, shard: int) -> Keys:
        """Return the keys of one shard."""
        return _keys(self.prefix, shard, self.deployment.stream)

    def keys_for(self, notification_id: str) -> Keys:
        """Return the keys of the shard that holds this notification or part."""
        shards = self.deployment.shards
        return self.keys(0 if shards == 1 else shard_of(notification_id, shards))

    def later_parts(self, notification_id: str, parts: int) -> Iterator[Parts]:
        """Return every part after the first, many at a time."""
        for start in range(2, parts + 1, _PARTS_LOOKED_FOR):
            end = min(start + _PARTS_LOOKED_FOR, parts + 1)
            yield Parts(self, [part_id(notification_id, at) for at in range(start, end)])

    @property
    def all_keys(self) -> list[Keys]:
        """Return the keys of every shard."""
        return [self.keys(shard) for shard in range(self.deployment.shards)]


class Parts(NamedTuple):
    """Some parts of a notification; how many there are is a stranger's word, most may be gone."""

    layout: Layout
    names: list[str]

    def counting(self) -> list[list[str]]:
        """Return the commands, one for each shard, that count which of them are there."""
        by_shard: dict[Keys, list[str]] = {}
        for name in self.names:
            by_shard.setdefault(self.layout.keys_for(name), []).append(name)
        return [["EXISTS", *map(keys.notification, names)] for keys, names in by_shard.items()]


_FIELDS: Final = tuple(field.name for field in fields(Deployment))


def _found(values: Sequence[bytes | None]) -> Deployment | None:
    # A stranger may have put any number of others beside our fields.
    pairs = zip(_FIELDS, values, strict=True)
    meta = {name.encode(): value for name, value in pairs if value is not None}
    return Deployment.from_meta(meta) if meta else None


async def read_deployment(client: redis.asyncio.Redis, prefix: str) -> Deployment | None:
    """Return what the deployment agreed on, or None where nobody has been yet."""
    try:
        values: Any = await client.hmget(Keys(prefix, 0).meta, *_FIELDS)
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return _found(values)


async def join_deployment(
    client: redis.asyncio.Redis, prefix: str, mine: Deployment, *, lead: bool = False
) -> Deployment:
    """Agree with the deployment, or found it; return what holds.

    Shards and format must be equal. Of the rest a daemon's settings win (*lead*), so that a
    change reaches producers and consumers when the daemons restart with it.
    """
    found = await read_deployment(client, prefix)
    if found is not None:
        mine.check_against(found)
        if not lead:
            return found
    _check(await run_all(client, _writes(prefix, mine, lead=lead)))
    held = await read_deployment(client, prefix)
    mine.check_against(held or mine)
    return held or mine


async def assert_deployment(client: redis.asyncio.Redis, keys: Keys, mine: Deployment) -> None:
    """Write down again what holds on a shard where it is gone, as after an empty restart."""
    try:
        if not await client.exists(keys.meta):
            pipeline = client.pipeline(transaction=True)
            for field, value in mine.as_meta().items():
                pipeline.hsetnx(keys.meta, field, value)
            await pipeline.execute()
    except REDIS_ERRORS as error:
        raise fault_of(error) from error


def read_deployment_sync(client: redis.Redis, prefix: str) -> Deployment | None:
    """Return what the deployment agreed on, or None where nobody has been yet."""
    try:
        values: Any = client.hmget(Keys(prefix, 0).meta, *_FIELDS)
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return _found(values)


def join_deployment_sync(client: redis.Redis, prefix: str, mine: Deployment) -> Deployment:
    """Agree with the deployment, or found it; return what holds."""
    found = read_deployment_sync(client, prefix)
    if found is not None:
        mine.check_against(found)
        return found
    _check(run_all_sync(client, _writes(prefix, mine, lead=False)))
    held = read_deployment_sync(client, prefix)
    mine.check_against(held or mine)
    return held or mine


async def check_durability(
    client: redis.asyncio.Redis, keys: Keys, confirm: Confirm | None
) -> None:
    """Raise `RedisFault` where the server can't do what ``redis.durability`` asks for at all."""
    if confirm:
        replies = await run_all(at_shard(client, keys), confirm.reads(keys.confirmed))
        fault = confirm.fault(replies)
        if fault and fault.remedy is Remedy.CONFIGURE:
            raise RedisFault(fault)


def _writes(prefix: str, mine: Deployment, *, lead: bool) -> list[Read]:
    """Return what founds a deployment, or leads it; shard by shard, the first one first."""
    meta, writes = mine.as_meta(), []
    for shard in range(mine.shards):
        key = Keys(prefix, shard).meta
        # What decides where keys lie is written once; two founders cannot disagree unseen.
        for field in _FOUNDING if lead else meta:
            writes.append(Read(["HSETNX", key, field, meta[field]]))
        if lead:
            rest = [
                part for field in meta if field not in _FOUNDING for part in (field, meta[field])
            ]
            writes.append(Read(["HSET", key, *rest]))
    return writes


def _check(replies: Sequence[Any]) -> None:
    """Raise `RedisFault` unless the first shard took it; to one away the janitor brings it."""
    for place, reply in enumerate(replies):
        if isinstance(reply, RedisFault) and (place == 0 or reply.fault.code not in _NODE_AWAY):
            raise reply


_FOUNDING: Final = ("format", "shards")
_NODE_AWAY: Final = frozenset(
    {"connection", "timeout", "CLUSTERDOWN", "LOADING", "ASK", "TRYAGAIN"}
)
