"""Entries of an intent stream: given to a reader, rejected, or left by one that is gone."""

from __future__ import annotations

from typing import Any

import redis

from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import intents
from galaxy_notify.redis_state.consumer_names import consumer_forget
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


def acknowledging(shard: Shard) -> ScriptCall:
    """Two entries that were accepted."""
    return intents.intake_ack(KEYS, GROUP, given(shard.client, "{}", "{}"))


def rejecting(shard: Shard) -> ScriptCall:
    """An entry that cannot be accepted."""
    (stream_id,) = given(shard.client, "{}")
    return intents.intake_reject(KEYS, GROUP, reject_of(stream_id), KEEPING)


def resubmitting(shard: Shard) -> ScriptCall:
    """A reject to hand in again."""
    shard.run(rejecting(shard))
    rejects: Any = shard.client.xrange(KEYS.rejects)
    return intents.intake_resubmit(KEYS, rejects[0][0].decode())


def forgetting(shard: Shard) -> ScriptCall:
    """A reader that has nothing in hand."""
    shard.run(acknowledging(shard))
    return consumer_forget(KEYS, GROUP, [b"reader-1"])
