"""The delivery stream: how routes of external channels ended, for the feed.

Whoever settles such a route adds an entry, and trims. It holds no one up: what is trimmed before
the feed has read it is left out there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import redis.asyncio

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.feed import DeliveredVia
from galaxy_notify.model.ids import CHANNEL, NOTIFICATION_ID, RECIPIENT, first_part
from galaxy_notify.redis_client.stream_member import StreamMember, ask
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.keys import Keys

_DELIVERED: Final = b"delivered"
_FIELDS: Final = {
    b"user_id": re.compile(RECIPIENT),
    b"notification_id": re.compile(NOTIFICATION_ID),
    b"channel": re.compile(CHANNEL),
}


def delivery_keys(keys: Keys) -> Keys:
    """Return the keys of a shard with the delivery stream in place of its gateway stream."""
    return replace(keys, gateway_stream=keys.deliveries)


class DeliveriesMember(GroupMember):
    """One writer of the feed as a member of the delivery stream's group.

    Every method raises `RedisFault`.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, consumer: str) -> None:
        super().__init__(client, delivery_keys(keys), FEED_GROUP, consumer)

    async def has_stream(self) -> bool:
        """Return whether a route of an external channel has ended on this shard."""
        return bool(await ask(self._client.exists(self.stream)))

    async def join(self) -> bool:
        """Make the group at its beginning unless it is there; True if it was made."""
        # What trimming took from a group of this name was taken from the gateway stream.
        return await StreamMember.join(self)


def read_delivery(fields: Mapping[bytes, bytes]) -> DeliveredVia | None:
    """Return what an entry says was delivered; None where its route ended otherwise.

    Raises `Corrupt` with the field that is missing or invalid.
    """
    if not fields.get(b"outcome"):
        raise Corrupt("outcome: missing")
    if fields[b"outcome"] != _DELIVERED:
        return None
    user, notification, channel = (_checked(fields, name) for name in _FIELDS)
    return DeliveredVia(user, first_part(notification), channel)


def _checked(fields: Mapping[bytes, bytes], name: bytes) -> str:
    # Where it is not ASCII it does not match.
    text = fields.get(name, b"").decode("ascii", "replace")
    if not _FIELDS[name].fullmatch(text):
        raise Corrupt(f"{name.decode()}: {'invalid' if text else 'missing'}")
    return text
