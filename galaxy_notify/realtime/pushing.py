"""Messages of an application to its users' streams: not stored, only passed on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from galaxy_notify.errors import InvalidPush, InvalidQuery
from galaxy_notify.live.parts import cut
from galaxy_notify.live.tellings import ENTRY_LIMITS, InboxEntry, write_inboxes
from galaxy_notify.model.ids import NAME
from galaxy_notify.model.json_data import UnfitData, copy_of, kind_of
from galaxy_notify.model.refusals import WANTED, shown
from galaxy_notify.realtime.resident import Joined
from galaxy_notify.realtime.whereabouts import checked_user, instances_of
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.inbox import Push, push
from galaxy_notify.redis_state.recent import is_application

_TYPE: Final = re.compile(NAME)
#: Users of one call, and bytes of the data as JSON.
USERS_MAX: Final = 1000
DATA_BYTES_MAX: Final = 16_384


def checked_push(user: object, kind: object, data: object) -> Push:
    """Return a message for a user; raise `InvalidPush`, which names the field."""
    return Push(_user(user, "user"), _type(kind), _json(data))


def checked_pushes(users: Iterable[object], kind: object, data: object) -> Sequence[Push]:
    """Return a message for each of the users once; raise `InvalidPush`, which names the field."""
    name, text = _type(kind), _json(data)
    return [Push(user, name, text) for user in _users(users)]


async def push_to_instances(joined: Joined, pushes: Sequence[Push]) -> int:
    """Give messages to the instances of their users; return how many took them.

    Raises `RedisFault` where none did, and Redis refused one or did not answer.
    """
    places = await instances_of(joined, [one.user for one in pushes])
    found: dict[str, list[Push]] = {}
    for one in pushes:
        for instance in places[one.user]:
            if not is_application(instance):
                found.setdefault(instance, []).append(one)
    prefix = joined.key_space.prefix
    entries = [
        InboxEntry(instance, [one.user for one in part], push(prefix, instance, part))
        for instance, some in found.items()
        for part in cut(some, ENTRY_LIMITS, lambda one: len(one.data))
    ]
    answers = await write_inboxes(joined.client, joined.key_space, entries)
    reached = {entry.instance for entry, answer in answers if isinstance(answer, bytes)}
    faults = [answer for _, answer in answers if isinstance(answer, RedisFault)]
    if faults and not reached:
        raise faults[0]
    return len(reached)


def _users(users: Iterable[object]) -> Iterable[str]:
    if isinstance(users, str | bytes | Mapping):
        raise InvalidPush("users", f"must be a list, not {kind_of(users)}")
    names: dict[str, None] = {}
    for place, user in enumerate(users):
        names[_user(user, f"users[{place}]")] = None
        if len(names) > USERS_MAX:
            raise InvalidPush("users", f"more than {USERS_MAX:,} users", "too_large")
    return names


def _user(user: object, at: str) -> str:
    try:
        return checked_user(user, at)
    except InvalidQuery as error:
        raise InvalidPush(at, error.message) from None


def _type(kind: object) -> str:
    if isinstance(kind, str) and _TYPE.fullmatch(kind):
        return kind
    raise InvalidPush("type", f"{WANTED['type']}, not {shown(kind)}")


def _json(data: object) -> str:
    try:
        text = json.dumps(copy_of(data), ensure_ascii=False, separators=(",", ":"))
    except UnfitData as unfit:
        raise InvalidPush(f"data{unfit.path}", unfit.message) from None
    if (size := len(text.encode())) > DATA_BYTES_MAX:
        message = f"{size:,} bytes as JSON, the limit is {DATA_BYTES_MAX:,}"
        raise InvalidPush("data", message, "too_large")
    return text
