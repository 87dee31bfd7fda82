"""Entries of an intent stream: given to a reader, rejected, or left by one that is gone."""

from __future__ import annotations

from typing import Any

import redis

from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import intents
from galaxy_notify.redis_state.consumer_names import StreamPlace, forget
from galaxy_notify.redis_state.keys import IntentKeys
from tests.scripts.support.shard import Shard

KEYS = IntentKeys("gn:intents")
GROUP = "galaxy-notify"
KEEPING = intents.Keeping(1024, 100)


def given(client: redis.Redis, *texts: bytes | str) -> list[str]:
    """Add entries and have a reader be given them; return their ids."""
    if not client.exists(KEYS.stream):
        client.xgroup_create(KEYS.stream, GROUP, "0", mkstream=True)
    ids: list[Any] = [client.xadd(KEYS.stream, {"intent": text}) for text in texts]
    client.xreadgroup(GROUP, "reader-1", {KEYS.stream: ">"})
    return [one.decode() for one in ids]


def reject_of(stream_id: str, deliveries: int = 1) -> intents.Reject:
    """Return the reason for which an entry is rejected."""
    return intents.Reject(stream_id, "invalid", "type", "missing", deliveries)


def admitting(shard: Shard) -> ScriptCall:
    """Two entries that were accepted."""
    return intents.admit(KEYS, GROUP, given(shard.client, "{}", "{}"))


def refusing(shard: Shard) -> ScriptCall:
    """An entry that cannot be accepted."""
    (stream_id,) = given(shard.client, "{}")
    return intents.refuse(KEYS, GROUP, reject_of(stream_id), KEEPING)


def resubmitting(shard: Shard) -> ScriptCall:
    """A reject to hand in again."""
    shard.run(refusing(shard))
    rejects: Any = shard.client.xrange(KEYS.rejects)
    return intents.resubmit(KEYS, rejects[0][0].decode())


def forgetting(shard: Shard) -> ScriptCall:
    """A reader that has nothing in hand."""
    shard.run(admitting(shard))
    return forget(StreamPlace(KEYS.stream, KEYS.never), GROUP, [b"reader-1"])
