"""Joins a deployment: founds it, leads it, or takes what it has agreed on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import fields
from typing import Any, Final

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault, Remedy, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings

_FIELDS: Final = tuple(field.name for field in fields(SharedSettings))


@reader
def _shared_settings(values: Sequence[Any]) -> SharedSettings | None:
    # Another client may have added any number of other fields.
    pairs = zip(_FIELDS, values, strict=True)
    meta = {name.encode(): value for name, value in pairs if value is not None}
    return SharedSettings.from_meta(meta) if meta else None


def read_deployment(prefix: str) -> Flow[SharedSettings | None]:
    """Return what the deployment agreed on, or None where none exists yet."""
    for _ in range(2):
        (reply,) = yield [Command(["HMGET", Keys(prefix, 0).meta, *_FIELDS])]
        if not (isinstance(reply, RedisFault) and reply.fault.code == "MOVED"):
            break  # after the first MOVED the client knows where the slot has gone
    with as_fault("HMGET"):
        return _shared_settings(unwrap(reply))


def adopt_deployment(prefix: str) -> Flow[SharedSettings]:
    """Return what the deployment agreed on, for a client without its settings.

    It never creates one: raises `RedisFault` with `NO_DEPLOYMENT` where none exists.
    """
    found = yield from read_deployment(prefix)
    if found is None:
        raise RedisFault(NO_DEPLOYMENT)
    found.check_format()
    return found


def join_deployment(
    prefix: str, mine: SharedSettings, *, lead: bool = False
) -> Flow[SharedSettings]:
    """Agree with the deployment, or create it; return the settings that apply.

    Shards and format must be equal. Of the rest a daemon's settings win (*lead*), so that a
    change reaches producers and consumers when the daemons restart with it.
    """
    found = yield from read_deployment(prefix)
    if found is not None:
        mine.check_against(found)
        if not lead:
            return found
    _check((yield _writes(prefix, mine, lead=lead)))
    held = yield from read_deployment(prefix)
    mine.check_against(held or mine)
    return held or mine


async def assert_deployment(client: redis.asyncio.Redis, keys: Keys, mine: SharedSettings) -> None:
    """Write down again what holds on a shard where it is gone, as after an empty restart."""
    with as_fault("EXEC"):
        if not await client.exists(keys.meta):
            pipeline = client.pipeline(transaction=True)
            for field, value in mine.as_meta().items():
                pipeline.hsetnx(keys.meta, field, value)
            await pipeline.execute()


async def check_durability(
    client: redis.asyncio.Redis, keys: Keys, confirm: Confirmation | None
) -> None:
    """Raise `ConfigurationError` where a server can't do what ``redis.durability`` asks for.

    Raises `RedisFault` where it can't just now.
    """
    if confirm is None:
        return
    node = at_shard(client, keys.tag)
    if not confirm.is_of_disk:
        fault = confirm.fault(await run_all(node, confirm.reads(keys.confirmed)))
        if fault and fault.remedy is Remedy.CONFIGURE:
            raise ConfigurationError(fault.text)
        return
    trial = confirm.trial(keys.confirmed)
    async with node.client() as one:
        reply: Any = None
        with as_fault("WAITAOF"):
            while (read := _following(trial, reply)) is not None:
                try:
                    reply = await one.execute_command(*read.command)  # type: ignore[no-untyped-call]  # redis-py
                except ResponseError as error:
                    reply = error


def check_disk_sync(client: redis.Redis, keys: Keys, confirm: Confirmation | None) -> None:
    """Do what `check_durability` does, where it is about the disk."""
    if confirm is None or not confirm.is_of_disk:
        return
    trial = confirm.trial(keys.confirmed)
    node: Any = at_shard(client, keys.tag)
    with node.client() as one, as_fault("WAITAOF"):
        reply: Any = None
        while (read := _following(trial, reply)) is not None:
            try:
                reply = one.execute_command(*read.command)
            except ResponseError as error:
                reply = error


def _following(trial: Generator[Command, Any, None], reply: Any) -> Command | None:
    try:
        return trial.send(reply)
    except StopIteration:
        return None


def _writes(prefix: str, mine: SharedSettings, *, lead: bool) -> list[Command]:
    """Return what founds a deployment, or leads it; shard by shard, the first one first."""
    meta, writes = mine.as_meta(), []
    for shard in range(mine.shards):
        key = Keys(prefix, shard).meta
        # What decides where keys lie is written once; two founders cannot disagree unseen.
        for field in _FOUNDING if lead else meta:
            writes.append(Command(["HSETNX", key, field, meta[field]]))
        if lead:
            rest = [
                part for field in meta if field not in _FOUNDING for part in (field, meta[field])
            ]
            writes.append(Command(["HSET", key, *rest]))
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
