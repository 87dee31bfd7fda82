"""The check of one shard, page by page, while workers and notifiers go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from galaxy_notify.fsck.faults import Became, Inconsistency, Looked, RepairScope, settled
from galaxy_notify.fsck.notifications import (
    Miscount,
    SeenNotification,
    balance_totals,
    miscount,
    read_notifications,
    recount_notifications,
    should_be_indexed,
)
from galaxy_notify.fsck.pages import (
    INDEXES,
    PAGE,
    Cursor,
    keys_of_wrong_type,
    read_guard,
    read_index_page,
    read_notification_page,
)
from galaxy_notify.fsck.routes import SeenRoute, read_routes, repair_routes
from galaxy_notify.fsck.rules import Verdict, judge
from galaxy_notify.model.ids import CHANNEL, NOTIFICATION_ID, shard_of
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.words import Word

Page = Callable[[], Flow[None]]

_LOOKS: Final = 3
# To report a fault twice is harmless; to remember millions of them is not.
_REPORTED_KEPT: Final = 100_000


class ShardCheck:
    """Compares every index of a shard with the routes; *report* is called with each fault.

    Every fault is read twice, the second time by one script, so that work in progress is not taken
    for a fault.
    """

    def __init__(
        self,
        keys: Keys,
        shared: SharedSettings,
        scope: RepairScope,
        report: Callable[[Inconsistency], None],
        looked: Looked,
    ) -> None:
        self._looked = looked
        self._keys, self._shared, self._scope = keys, shared, scope
        self._report = report
        self._channels = list(shared.channels)
        self._broken: set[str] = set()
        self._reported: set[tuple[str, str]] = set()
        self._left = False

    def pages(self) -> Iterator[Page]:
        """Yield the pages of the check, each to be run to its end before the next is asked for.

        A page that was interrupted can be made once more.

        Indexes come first, so that notifications are counted once all routes have their states.
        """
        yield self._guard
        configured, cursor = len(self._channels), Cursor()
        yield from self._indexes(self._channels[:configured])
        while not cursor.is_done:
            yield partial(self._notifications, cursor)
        further = self._channels[configured:]
        if further:
            yield from self._indexes(further)
        if not self._broken:
            yield self._totals

    def _fault(self, code: str, subject: str, what: str, mends: str, word: str = "") -> None:
        became: Became = "left" if self._scope.mends(code) else "found"
        if word == Word.REPAIRED:
            became = "mended"
        self._left = self._left or became != "mended"
        if (code, subject) in self._reported:
            return
        if len(self._reported) >= _REPORTED_KEPT:
            self._reported.clear()
        self._reported.add((code, subject))
        self._report(Inconsistency(code, subject, what, mends, became))

    def _guard(self) -> Flow[None]:
        if (yield from read_guard(self._keys)):
            what = "must never exist (it guards slot migration), but exists"
            self._fault("foreign-key", self._keys.never, what, "")

    def _types(self, channels: Sequence[str]) -> Flow[None]:
        for key in (yield from keys_of_wrong_type(self._keys, channels)):
            self._broken.add(key)
            self._fault("wrong-type", key, "has the wrong type", "")

    def _is_whole(self, channel: str) -> bool:
        keys = self._keys
        indexes = (keys.schedule, keys.leases, keys.dead, keys.abandoned)
        return self._broken.isdisjoint(key(channel) for key in indexes)

    def _indexes(self, channels: Sequence[str]) -> Iterator[Page]:
        yield partial(self._types, channels)
        for channel in channels:
            for index in INDEXES if self._is_whole(channel) else ():
                cursor = Cursor()
                while not cursor.is_done:
                    yield partial(self._index_page, index, channel, cursor)

    def _index_page(self, index: str, channel: str, cursor: Cursor) -> Flow[None]:
        page = yield from read_index_page(self._keys, index, channel, cursor)
        self._looked.members += page.members
        for at in range(0, len(page.odd), PAGE):
            yield from self._routes(channel, page.odd[at : at + PAGE], index)

    def _routes(self, channel: str, members: Sequence[bytes], where: str) -> Flow[int]:
        """Check members of which *where* is the first index that has them; count the faults."""

        def look(names: Sequence[bytes]) -> Flow[list[tuple[SeenRoute, Verdict]]]:
            seen = yield from read_routes(self._keys, channel, names)
            judged = ((one, judge(one, self._scope.actor)) for one in seen if one.place == where)
            return [(one, verdict) for one, verdict in judged if verdict]

        def repair(found: Sequence[tuple[SeenRoute, Verdict]]) -> Flow[list[str]]:
            words = [""] * len(found)
            for fix in (True, False):
                at = [n for n, (_, v) in enumerate(found) if self._scope.mends(v.code) is fix]
                items = [(found[n][0], found[n][1].wanted) for n in at]
                answers = yield from repair_routes(self._keys, items, fix=fix)
                for n, word in zip(at, answers, strict=True):
                    words[n] = word
            return words

        faults = yield from settled(members, look, repair, lambda one: one[0].member)
        for (seen, verdict), word in faults:
            self._fault(verdict.code, _text(seen.member), verdict.what, verdict.mends, word)
        return len(faults)

    def _notifications(self, cursor: Cursor) -> Flow[None]:
        page = yield from read_notification_page(self._keys, cursor)
        self._looked.notifications += len(page.ids)
        self._looked.routes += page.routes
        self._learn(_text(channel) for channel in page.channels)
        foreign = [name for name in map(_text, page.ids) if self._is_foreign(name)]
        odd = [name for name in map(_text, page.odd) if name not in foreign]
        if odd:
            yield from self._counted(odd)

    def _is_foreign(self, name: str) -> bool:
        what = "not a valid notification name"
        if re.fullmatch(NOTIFICATION_ID, name):
            shard = shard_of(name, self._shared.shards)
            what = "" if shard == self._keys.shard else f"belongs to shard {shard}"
        if what:
            self._fault("foreign-key", self._keys.notification(name), what, "")
        return bool(what)

    def _learn(self, channels: Iterable[str]) -> None:
        """Add the channels on which no daemon works."""
        known = {name for name in channels if re.fullmatch(CHANNEL, name)}
        self._channels += sorted(known - set(self._channels))

    def _counted(self, names: Sequence[str]) -> Flow[None]:
        """Check notifications closely: first their routes, then their counts."""
        seen = yield from read_notifications(self._keys, names)
        for one in seen:
            if one.foreign:
                key, what = self._keys.notification(one.name), "is not a notification hash"
                self._fault("wrong-type", key, what, "")
        moved = 0
        for channel, members in self._misplaced(seen).items():
            for at in range(0, len(members), PAGE):
                moved += yield from self._routes(channel, members[at : at + PAGE], "none")
        yield from self._counts([one.name for one in seen if moved or miscount(one)])

    def _misplaced(self, seen: Iterable[SeenNotification]) -> dict[str, list[bytes]]:
        """Return the routes that some index should have, by channel; learn new channels."""
        members: dict[str, list[bytes]] = {}
        for one in seen:
            for route_id, state in one.states.items():
                channel = _text(route_id).partition(":")[0]
                if should_be_indexed(one, state) and re.fullmatch(CHANNEL, channel):
                    found = members.setdefault(channel, [])
                    found.append(one.name.encode() + b"/" + route_id)
        self._learn(members)
        return {channel: found for channel, found in members.items() if self._is_whole(channel)}

    def _counts(self, names: Sequence[str]) -> Flow[None]:
        """Check the counts of notifications whose routes are in the right indexes."""
        keep_ms = self._shared.keep_ms(keyed=True)

        def look(batch: Sequence[str]) -> Flow[list[tuple[SeenNotification, Miscount]]]:
            seen = yield from read_notifications(self._keys, batch)
            return [(one, fault) for one in seen if (fault := miscount(one))]

        def repair(found: Sequence[tuple[SeenNotification, Miscount]]) -> Flow[list[str]]:
            items = [one for one, _ in found]
            fix = self._scope.repairs_counts(left=self._left)
            return (yield from recount_notifications(self._keys, items, keep_ms, fix=fix))

        for (one, fault), word in (
            yield from settled(names, look, repair, lambda found: found[0].name)
        ):
            self._fault(fault.code, one.name, fault.what, fault.mends, word)

    def _totals(self) -> Flow[None]:
        seen = yield from balance_totals(self._keys, self._channels)
        # A fault that is left would come back as a difference, once it is repaired.
        mends = self._scope.mends("totals") and not self._left
        for _ in range(_LOOKS if mends else 0):
            if seen.word in (Word.EVEN, Word.REPAIRED):
                break
            seen = yield from balance_totals(self._keys, self._channels, seen.difference)
        if seen.word == Word.EVEN:
            return
        by = seen.difference
        what = f"{abs(by):,} {'fewer' if by > 0 else 'more'} routes exist than were accepted"
        done = "counted as purged" if by > 0 else "counted as accepted"
        self._fault("totals", self._keys.totals, what, done, seen.word)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")
