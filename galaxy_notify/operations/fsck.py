"""Compare every index with the routes, beside whoever is at work, and mend what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from galaxy_notify.model.ids import CHANNEL, NOTIFICATION_ID, shard_of
from galaxy_notify.operations.fsck_counts import Miscount, miscount, should_be_indexed
from galaxy_notify.operations.fsck_looks import Became, Fault, Looked, settled
from galaxy_notify.operations.fsck_rules import Verdict, judge
from galaxy_notify.redis_state.fsck_notifications import (
    SeenNotification,
    balance_totals,
    read_notifications,
    recount_notifications,
)
from galaxy_notify.redis_state.fsck_pages import (
    PAGE,
    hash_fields,
    keys_of_wrong_type,
    notification_names,
    sorted_set,
)
from galaxy_notify.redis_state.fsck_routes import SeenRoute, mend_routes, read_routes
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.place import Place

_LOOKS: Final = 3


@dataclass
class Fsck:
    """One run over a whole deployment; *fix* mends, in the name of *actor*.

    Every fault is seen twice, the second time in one piece, so that work that goes on meanwhile
    is none. *progress* is told how much more was looked at.
    """

    place: Place
    actor: str
    fix: bool = False
    progress: Callable[[int], None] = lambda _: None
    looked: Looked = field(default_factory=Looked)

    def run(self) -> Iterator[Fault]:
        """Yield the faults as they are found; raise `RedisFault` without Redis."""
        for keys in self.place.all_keys:
            yield from _Shard(self, keys).run()

    def count(self, members: int = 0, notifications: int = 0, routes: int = 0) -> None:
        """Count what was looked at."""
        self.looked.members += members
        self.looked.notifications += notifications
        self.looked.routes += routes
        self.progress(members + notifications)


class _Shard:
    """The run over one shard."""

    def __init__(self, run: Fsck, keys: Keys) -> None:
        self._run, self._keys, self._place = run, keys, run.place
        self._channels = list(run.place.deployment.channels)
        self._broken: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._left = False

    def run(self) -> Iterator[Fault]:
        """Yield the faults of the shard.

        Indexes come first, so that notifications are counted once all routes have their states.
        """
        for fault in self._faults():
            if (fault.code, fault.subject) not in self._told:
                self._told.add((fault.code, fault.subject))
                self._left = self._left or fault.became != "mended"
                yield fault

    def _faults(self) -> Iterator[Fault]:
        yield from self._types(self._channels)
        for channel in self._channels:
            yield from self._index(channel)
        configured = len(self._channels)
        for page in notification_names(self._place, self._keys):
            yield from self._notifications(page)
        further = self._channels[configured:]
        yield from self._types(further)
        for channel in further:
            yield from self._index(channel)
        yield from self._totals()

    def _fault(self, code: str, subject: str, what: str, mends: str, word: str = "") -> Fault:
        became: Became = "left" if self._run.fix else "found"
        return Fault(code, subject, what, mends, "mended" if word == "mended" else became)

    def _types(self, channels: Sequence[str]) -> Iterator[Fault]:
        for key in keys_of_wrong_type(self._place, self._keys, channels):
            self._broken.add(key)
            yield self._fault("wrong-type", key, "holds something else than it should", "")

    def _is_whole(self, channel: str) -> bool:
        keys = self._keys
        own = {keys.schedule(channel), keys.leases(channel), keys.dead(channel)}
        own.add(keys.abandoned(channel))
        return not own & self._broken

    def _index(self, channel: str) -> Iterator[Fault]:
        if not self._is_whole(channel):
            return
        keys, place = self._keys, self._place
        walks = {
            "schedule": sorted_set(place, keys.schedule(channel)),
            "abandoned": hash_fields(place, keys.abandoned(channel)),
            "dead": sorted_set(place, keys.dead(channel)),
        }
        for where, pages in walks.items():
            for page in pages:
                self._run.count(members=len(page))
                yield from self._routes(channel, page, where)

    def _routes(self, channel: str, members: Sequence[bytes], where: str) -> Iterator[Fault]:
        """Look at members of which *where* is the first index that has them."""

        def look(names: Sequence[bytes]) -> Iterator[tuple[SeenRoute, Verdict]]:
            for seen in read_routes(self._place, self._keys, channel, names):
                verdict = judge(seen, self._run.actor) if seen.place == where else None
                if verdict:
                    yield seen, verdict

        def mend(found: Sequence[tuple[SeenRoute, Verdict]]) -> list[str]:
            items = [(seen, verdict.wanted) for seen, verdict in found]
            return mend_routes(self._place, self._keys, items, fix=self._run.fix)

        for (seen, verdict), word in settled(members, look, mend, lambda one: one[0].member):
            yield self._fault(verdict.code, _text(seen.member), verdict.what, verdict.mends, word)

    def _notifications(self, page: Sequence[bytes]) -> Iterator[Fault]:
        names = []
        for raw in page:
            name = _text(raw)
            what = self._not_ours(name)
            if what:
                yield self._fault("foreign-key", self._keys.notification(name), what, "")
            else:
                names.append(name)
        seen = read_notifications(self._place, self._keys, names)
        self._run.count(notifications=len(seen), routes=sum(len(one.states) for one in seen))
        for one in seen:
            if one.foreign:
                key, what = self._keys.notification(one.name), "is no hash of a notification"
                yield self._fault("wrong-type", key, what, "")
        moved = False
        for channel, members in self._named(seen).items():
            for at in range(0, len(members), PAGE):
                for fault in self._routes(channel, members[at : at + PAGE], "none"):
                    moved = True
                    yield fault
        yield from self._counts([one.name for one in seen if moved or miscount(one)])

    def _not_ours(self, name: str) -> str:
        if not re.fullmatch(NOTIFICATION_ID, name):
            return "no notification has this name"
        shard = shard_of(name, self._place.deployment.shards)
        return "" if shard == self._keys.shard else f"belongs to shard {shard}"

    def _named(self, seen: Iterable[SeenNotification]) -> dict[str, list[bytes]]:
        """Return the routes that some index should have, by channel; learn new channels."""
        members: dict[str, list[bytes]] = {}
        for one in seen:
            for route_id, state in one.states.items():
                if not should_be_indexed(one, state):
                    continue
                channel = _text(route_id).partition(":")[0]
                if re.fullmatch(CHANNEL, channel):
                    found = members.setdefault(channel, [])
                    found.append(one.name.encode() + b"/" + route_id)
        self._channels += sorted(members.keys() - set(self._channels))
        return {channel: found for channel, found in members.items() if self._is_whole(channel)}

    def _counts(self, names: Sequence[str]) -> Iterator[Fault]:
        """Look at what notifications count, once their routes stand where they belong."""
        keep_ms = self._place.deployment.keep_ms(keyed=True)

        def look(some: Sequence[str]) -> Iterator[tuple[SeenNotification, Miscount]]:
            for one in read_notifications(self._place, self._keys, some):
                fault = miscount(one)
                if fault:
                    yield one, fault

        def mend(found: Sequence[tuple[SeenNotification, Miscount]]) -> list[str]:
            items, fix = [one for one, _ in found], self._run.fix
            return recount_notifications(self._place, self._keys, items, keep_ms, fix=fix)

        for (one, fault), word in settled(names, look, mend, lambda found: found[0].name):
            yield self._fault(fault.code, one.name, fault.what, fault.mends, word)

    def _totals(self) -> Iterator[Fault]:
        if self._broken:
            return
        seen = balance_totals(self._place, self._keys, self._channels)
        # What is left elsewhere would come back as a difference, once it is mended.
        for _ in range(_LOOKS if self._run.fix and not self._left else 0):
            if seen.word in ("even", "mended"):
                break
            seen = balance_totals(self._place, self._keys, self._channels, seen.difference)
        if seen.word == "even":
            return
        by = seen.difference
        what = f"{abs(by):,} {'fewer' if by > 0 else 'more'} routes are there than were accepted"
        mends = "counted as purged" if by > 0 else "counted as accepted"
        yield self._fault("totals", self._keys.totals, what, mends, seen.word)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")
