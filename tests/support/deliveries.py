"""The delivery stream for tests: entries as they are written, and what the feed makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import redis

from galaxy_notify.redis_state.deliveries import delivery_keys
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.keys import Keys
from tests.support.events import KEYS, notification_id, pending, unfinished
from tests.support.postgres import Postgres

#: Channels by user and notification.
Via = dict[tuple[str, str], list[str]]


def delivery_fields(number: int, **changed: bytes | str) -> dict[Any, Any]:
    """Return the fields of an entry: the e-mail of a notification reached its user."""
    return {
        "notification_id": notification_id(number),
        "user_id": f"u{number % 20}",
        "channel": "email",
        "outcome": "delivered",
        "reason": "",
        "at_ms": "1900000000000",
        **changed,
    }


def deliver(
    client: redis.Redis,
    numbers: Sequence[int],
    *,
    keys: Keys = KEYS,
    changed: Mapping[str, bytes | str] | None = None,
) -> None:
    """Add an entry for each of those notifications, of the users whom `publish` of feeds gives."""
    pipeline = client.pipeline(transaction=False)
    for number in numbers:
        pipeline.xadd(keys.deliveries, delivery_fields(number, **(changed or {})))
    pipeline.execute()


def waiting(client: redis.Redis, keys: Keys = KEYS) -> int:
    """Return how many entries wait for their item, -1 before there is a group."""
    return pending(client, FEED_GROUP, delivery_keys(keys))


def left(client: redis.Redis, keys: Keys = KEYS) -> int:
    """Return how many entries were not brought to an end, -1 before there is a group."""
    return unfinished(client, FEED_GROUP, delivery_keys(keys))


def via(postgres: Postgres) -> Via:
    """Return the channels of all items that have any."""
    with postgres.client() as client:
        found = client.execute(
            "SELECT user_id, notification_id, delivered_via FROM feed_item"
            " WHERE delivered_via <> '{}'"
        ).fetchall()
    return {(user, name): list(channels) for user, name, channels in found}


def via_of(numbers: Sequence[int], *channels: str) -> Via:
    """Return what `via` says where those notifications have these channels."""
    return {(f"u{n % 20}", notification_id(n)): list(channels) for n in numbers}
