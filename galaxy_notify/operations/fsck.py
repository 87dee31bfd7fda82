"""Compare every index with the routes, beside whoever is at work, and mend what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from galaxy_notify.fsck.faults import Fault, Looked, Mending
from galaxy_notify.fsck.shard import ShardCheck
from galaxy_notify.redis_state.flows import run_flow_sync
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.nodes import at_shard
from galaxy_notify.redis_state.place import Place

# After each page the server has as long to itself, but a slow network does not slow us further.
_LONGEST_REST_S: Final = 0.02


@dataclass
class Fsck:
    """One run over a whole deployment; *fix* mends, in the name of *actor*.

    It takes half of the server's time at most, in pages of about a millisecond. *progress* is told
    how much more was looked at.
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
        client = at_shard(self.place.client, keys)
        mending = Mending(self.actor, self.fix)
        check = ShardCheck(keys, self.place.deployment, mending, found.append, self.looked)
        for page in check.pages():
            before, started = self._seen, time.perf_counter()
            run_flow_sync(client, page)
            took_s = time.perf_counter() - started
            self.progress(self._seen - before)
            yield from found
            found.clear()
            time.sleep(min(took_s, _LONGEST_REST_S))

    @property
    def _seen(self) -> int:
        return self.looked.members + self.looked.notifications
