"""The users to whom a notification has routes, over all its parts, as a flow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from galaxy_notify.model.ids import RECIPIENT, Target, first_part
from galaxy_notify.model.notification import readable_record
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.shared_settings import KeySpace

#: Parts that are read in one round trip.
_TOGETHER: Final = 8
_RECIPIENT: Final = re.compile(RECIPIENT)


def recipients_flow(key_space: KeySpace, target: Target) -> Flow[list[str] | None]:
    """Return the users with a route, each once, in no order; None if the target is unknown.

    The target is the whole notification, with only the producers that it names. Parts that are
    kept no more have no routes. Raises `RedisFault`.
    """
    name = first_part(target.notification_id)
    key = key_space.keys_for(name).notification(name)
    raw, fields = yield [Command(["HGET", key, "record"]), Command(["HKEYS", key])]
    record, names = readable_record(name, unwrap(raw)), unwrap(fields)
    if b"open" not in names or not target.is_of(record.producer if record else None):
        return None
    found = dict.fromkeys(_users(names))
    for parts in key_space.later_parts(name, record.parts if record else 1):
        # The stored number may be wrong, and most may be gone.
        counts = yield [Command(command) for command in parts.counting()]
        if not any(map(unwrap, counts)):
            continue
        for at in range(0, len(parts.names), _TOGETHER):
            some = parts.names[at : at + _TOGETHER]
            keys = [key_space.keys_for(part).notification(part) for part in some]
            for reply in (yield [Command(["HKEYS", key]) for key in keys]):
                found |= dict.fromkeys(_users(unwrap(reply)))
    return list(found)


def _users(names: Iterable[Any]) -> list[str]:
    with as_fault("HKEYS"):
        routes = (name.decode("utf-8", "replace").partition(":") for name in names)
        return [user for _, colon, user in routes if colon and _RECIPIENT.fullmatch(user)]
