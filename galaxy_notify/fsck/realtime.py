"""The check of what gateways keep, page by page, while they go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from galaxy_notify.fsck.faults import Became, Inconsistency, Looked, RepairScope
from galaxy_notify.fsck.pages import Cursor
from galaxy_notify.fsck.user_keys import (
    KeyFault,
    Terms,
    look_at_gateways,
    look_at_inboxes,
    look_at_marks,
    look_at_presence,
    look_at_recent,
)
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.keys import Keys, inbox_key, keys_with

Page = Callable[[], Flow[None]]
Look = Callable[[Sequence[str], Terms], Flow[list[KeyFault]]]

#: Keys that a page of a walk looks at, and keys of users that are read together.
_COUNT: Final = 512
_TOGETHER: Final = 64
#: Recent lists, presence and unread marks, and hardly any other keys.
_OF_USERS: Final = "[rpu][ern][cer][es]*:*"


class RealtimeCheck:
    """Checks recent lists, presence, marks, inboxes and the registry.

    *report* is called with each fault.

    Every fault is found twice before it is reported, so that work in progress is not taken for a
    fault.
    """

    def __init__(
        self,
        terms: Terms,
        scope: RepairScope,
        report: Callable[[Inconsistency], None],
        looked: Looked,
    ) -> None:
        self._terms, self._scope = terms, scope
        self._report, self._looked = report, looked

    def shard_pages(self, keys: Keys) -> Iterator[Page]:
        """Yield the pages of a shard, each to be run to its end before the next is asked for."""
        if keys.shard == 0:
            yield partial(self._gateways, keys)
        looks = {
            keys.recent(""): look_at_recent,
            keys.presence(""): look_at_presence,
            keys.unread(""): look_at_marks,
        }
        # One walk over all keys of the server finds them all.
        yield from self._walk(keys_with(keys.tag)[:-1] + _OF_USERS, looks)

    def node_pages(self, prefix: str) -> Iterator[Page]:
        """Yield the pages of the inboxes of a server: they belong to no shard."""
        begin, _, end = inbox_key(prefix, "*").partition("*")
        yield from self._walk(keys_with(begin) + end, {begin: look_at_inboxes})

    def _walk(self, pattern: str, looks: Mapping[str, Look]) -> Iterator[Page]:
        cursor = Cursor()
        while not cursor.is_done:
            yield partial(self._page, pattern, looks, cursor)

    def _page(self, pattern: str, looks: Mapping[str, Look], cursor: Cursor) -> Flow[None]:
        at = "0" if not cursor.begun else cursor.at
        (reply,) = yield [Command(["SCAN", at, "MATCH", pattern, "COUNT", _COUNT])]
        following, found = unwrap(reply)
        names = list(dict.fromkeys(map(text, found)))
        for begin, look in looks.items():
            own = [name for name in names if name.startswith(begin)]
            for first in range(0, len(own), _TOGETHER):
                yield from self._settle(own[first : first + _TOGETHER], look)
        cursor.move(str(following).encode())

    def _settle(self, names: Sequence[str], look: Look) -> Flow[None]:
        self._looked.user_keys += len(names)
        first = yield from look(names, self._terms)
        if first:
            again = yield from look([fault.key for fault in first], self._terms)
            yield from self._repair(_lasting(first, again))

    def _gateways(self, keys: Keys) -> Flow[None]:
        (time,) = yield [Command(["TIME"])]
        now_ms = int(unwrap(time)[0]) * 1000
        first = yield from look_at_gateways(keys, now_ms)
        if first:
            again = yield from look_at_gateways(keys, now_ms)
            yield from self._repair(_lasting(first, again))

    def _repair(self, faults: Sequence[KeyFault]) -> Flow[None]:
        mended = [fault for fault in faults if self._scope.mends(fault.code)]
        replies = (yield [fault.repair for fault in mended]) if mended else []
        for reply in replies:
            unwrap(reply)
        became: Became = "mended" if mended else "found"
        for fault in faults:
            self._report(Inconsistency(fault.code, fault.key, fault.what, fault.mends, became))


def _lasting(first: Sequence[KeyFault], again: Sequence[KeyFault]) -> list[KeyFault]:
    """Return the faults of the second look that the first had too."""
    known = {(fault.code, fault.key) for fault in first}
    return [fault for fault in again if (fault.code, fault.key) in known]
