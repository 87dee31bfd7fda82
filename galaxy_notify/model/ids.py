"""Ids: notifications, their parts, routes, members and events.

A notification id is 32 lower-case hex digits; a large fan-out has the parts ``<id>``, ``<id>.2``, …
A route id is ``<channel>:<recipient>``, a member ``<notification_id>/<route_id>``, an event id the
member, followed by ``#<generation>`` from generation 2 on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
CHANNEL = r"[a-z][a-z0-9_]{0,31}"
RECIPIENT = r"[A-Za-z0-9+][A-Za-z0-9._~:@+-]{0,127}"
NOTIFICATION_ID = r"[0-9a-f]{32}(?:\.[1-9][0-9]{0,5})?"
#: The id of a notification, of a route, or of an event.
TARGET = rf"{NOTIFICATION_ID}(?:/{CHANNEL}:{RECIPIENT}(?:#[1-9][0-9]{{0,8}})?)?"

#: The largest number of a part that fits into an id.
MOST_PARTS = 999_999

_FIRST = re.compile("[0-9a-f]{32}")
_MEMBER = re.compile(rf"({NOTIFICATION_ID})/({CHANNEL}):({RECIPIENT})")
_EVENT = re.compile(rf"{NOTIFICATION_ID}/{CHANNEL}:{RECIPIENT}(?:#[1-9][0-9]{{0,8}})?")
_TARGET = re.compile(
    rf"(?P<notification>{NOTIFICATION_ID})"
    rf"(?:/(?P<route>{CHANNEL}:{RECIPIENT})(?:#(?P<generation>[1-9][0-9]{{0,8}}))?)?"
)


class Member(NamedTuple):
    """The name of a route in every index, split into its parts."""

    notification_id: str
    channel: str
    recipient: str

    @property
    def route_id(self) -> str:
        """The route id, ``<channel>:<recipient>``."""
        return f"{self.channel}:{self.recipient}"


class Target(NamedTuple):
    """A notification, or one route of it; with *producers*, only if one of them submitted it."""

    notification_id: str
    route_id: str | None
    producers: Collection[str] | None = None

    def is_of(self, producer: str | None) -> bool:
        """Return whether a notification of *producer* may be the target; None is an unknown one."""
        return self.producers is None or producer in self.producers


def is_first_part(text: object) -> bool:
    """Return whether *text* is the id of a whole notification, as an accept returns it."""
    return isinstance(text, str) and _FIRST.fullmatch(text) is not None


def random_id(now_ms: int) -> str:
    """Return a new id; ids sort by their time, to the millisecond."""
    return f"{now_ms:012x}{os.urandom(10).hex()}"


# The id is the index of idempotency keys: docs/decisions/0009-ids-from-idempotency-keys.md
def id_for_key(producer: str, key: str) -> str:
    """Return the id for an idempotency *key* of *producer*, always the same."""
    return sha256(f"{producer}\0{key}".encode()).digest()[:16].hex()


def part_id(notification_id: str, number: int) -> str:
    """Return the id of part *number*, counted from 1, of a notification."""
    return notification_id if number == 1 else f"{notification_id}.{number}"


def first_part(notification_id: str) -> str:
    """Return the id of the first part of a notification."""
    return notification_id.partition(".")[0]


def shard_of(notification_id: str, shards: int) -> int:
    """Return the shard that holds this notification or part."""
    return crc32(notification_id.encode()) % shards


def split_member(member: bytes) -> Member | None:
    """Split a member; return None if it is invalid."""
    try:
        match = _MEMBER.fullmatch(member.decode("ascii"))
    except UnicodeDecodeError:
        return None
    return Member(*match.groups()) if match else None


def parse_target(text: str) -> Target | None:
    """Return the target of a notification, route or event id; None if the text is invalid."""
    match = _TARGET.fullmatch(text.strip())
    return Target(match["notification"], match["route"]) if match else None


def target_of(
    text: str, route_id: str | None, producers: Collection[str] | None = None
) -> Target | None:
    """Return the target of a change: an id as in `parse_target`, or one route of it."""
    target = parse_target(text)
    return target and Target(target.notification_id, route_id or target.route_id, producers)


def event_id(member: str, generation: int) -> str:
    """Return the id of an event, by which gateways de-duplicate."""
    return member + event_suffix(generation)


def is_event_id(text: str) -> bool:
    """Return whether *text* is the id of an event."""
    return _EVENT.fullmatch(text) is not None


def event_suffix(generation: int) -> str:
    """Return the suffix of event ids of a replayed route; empty in generation 1."""
    return "" if generation == 1 else f"#{generation}"


def hash_tag(prefix: str, shard: int) -> str:
    """Return the start of every key of a shard: the hash tag of its slot in a cluster."""
    return f"{{{prefix}:{shard}}}:"
