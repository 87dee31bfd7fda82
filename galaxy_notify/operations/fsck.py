"""Compare every index with the routes, beside whoever is at work, and mend what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from galaxy_notify.fsck.faults import Fault, Looked, Mending
from galaxy_notify.fsck.shard import ShardCheck
from galaxy_notify.redis_state.flows import run_flow_sync
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.place import Place


@dataclass
class Fsck:
    """One run over a whole deployment; *fix* mends, in the name of *actor*.

    *progress* is told how much more was looked at.
    """

    place: Place
    actor: str
    fix: bool = False
    progress: Callable[[int], None] = lambda _: None
    looked: Looked = field(default_factory=Looked)

    def run(self) -> Iterator[Fault]:
        """Yield the faults as they are found; raise `RedisFault` without Redis."""
        for keys in self.place.all_keys:
            yield from self._shard(keys)

    def _shard(self, keys: Keys) -> Iterator[Fault]:
        found: list[Fault] = []
        mending = Mending(self.actor, self.fix)
        check = ShardCheck(keys, self.place.deployment, mending, found.append, self.looked)
        for page in check.pages():
            before = self._seen
            run_flow_sync(self.place.client, page)
            self.progress(self._seen - before)
            yield from found
            found.clear()

    @property
    def _seen(self) -> int:
        return self.looked.members + self.looked.notifications
