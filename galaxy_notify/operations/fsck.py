"""Compare every index with the routes, while workers go on, and repair what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from galaxy_notify.fsck.faults import Inconsistency, Looked, RepairScope
from galaxy_notify.fsck.shard import Page, ShardCheck
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.keys import Keys

# After each page the server has as long to itself, but a slow network does not slow us further.
_LONGEST_REST_S: Final = 0.02
_PAUSES_S: Final = (0.1, 0.5, 2.0)


@dataclass
class Fsck:
    """One run over a whole deployment; with *fix* it repairs, in the name of *actor*.

    It takes half of the server's time at most, in pages of about a millisecond. *progress* is
    called with the number of further things that were checked.
    """

    deployment: Deployment
    actor: str
    fix: bool = False
    progress: Callable[[int], None] = lambda _: None
    looked: Looked = field(default_factory=Looked)

    def run(self) -> Iterator[Inconsistency]:
        """Yield the faults as they are found; raise `RedisFault` without Redis."""
        for keys in self.deployment.all_keys:
            yield from self._shard(keys)

    def _shard(self, keys: Keys) -> Iterator[Inconsistency]:
        found: list[Inconsistency] = []
        scope = RepairScope(self.actor, self.fix)
        check = ShardCheck(keys, self.deployment.shared, scope, found.append, self.looked)
        for page in check.pages():
            before, started = self._seen, time.perf_counter()
            self._run(keys, page)
            took_s = time.perf_counter() - started
            self.progress(self._seen - before)
            yield from found
            found.clear()
            time.sleep(min(took_s, _LONGEST_REST_S))

    def _run(self, keys: Keys, page: Page) -> None:
        """Check a page, again after a short outage: what was checked so far stays valid.

        A repair just before the outage is not reported: the second look finds no fault.
        """
        client = at_shard(self.deployment.client, keys.tag)
        for pause_s in _PAUSES_S:
            try:
                return run_flow_sync(client, page())
            except RedisFault as error:
                if error.fault.remedy is Remedy.CONFIGURE:
                    raise
                time.sleep(pause_s)
        return run_flow_sync(client, page())

    @property
    def _seen(self) -> int:
        return self.looked.members + self.looked.notifications
