"""Whether a user also gets a notification in the feed, as the states of its routes say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from galaxy_notify.model.ids import first_part, part_id
from galaxy_notify.model.preference import IN_APP
from galaxy_notify.model.route import PUBLISHABLE, STATUS_OF, Status
from galaxy_notify.redis_client.flows import Flow, values_of
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.shared_settings import KeySpace

#: Parts that are looked at, 64,000 routes with the default of ``limits.max_routes``.
MOST_PARTS: Final = 64
#: What has, or may still get, a row in the feed.
_REACHING: Final = PUBLISHABLE | {Status.PUBLISHED}


def has_in_app(key_space: KeySpace, part: str, parts: int, user: str) -> Flow[bool]:
    """Return whether a user has a route of `in_app` that was, or may still be, published.

    *part* is the id of the part in which another route of the user lies, *parts* how many the
    notification has: where an intent names its channels, the routes of one user may lie in several.
    The own part is read first, and is nearly always all there is. True also where that cannot be
    known any more, because a part is kept no longer or there are more than `MOST_PARTS`: then the
    feed itself knows whether the user has read it. Raises `RedisFault`.
    """
    if (yield from _reaches(key_space, [part], user)):
        return True
    if parts > MOST_PARTS:
        return True
    first = first_part(part)
    names = (part_id(first, number) for number in range(1, parts + 1))
    rest = [name for name in names if name != part]
    return bool(rest) and (yield from _reaches(key_space, rest, user))


def _reaches(key_space: KeySpace, parts: Sequence[str], user: str) -> Flow[bool]:
    keys = [key_space.keys_for(part).notification(part) for part in parts]
    route = f"{IN_APP}:{user}"
    replies = yield [Command(["HMGET", key, "open", route]) for key in keys]
    for reply in replies:
        known, state = values_of(reply, 2)
        if known is None or (state and STATUS_OF.get(state[1:2]) in _REACHING):
            return True
    return False
