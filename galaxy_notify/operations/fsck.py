"""Compare every index with the routes, while workers go on, and repair what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from galaxy_notify.fsck.faults import Inconsistency, Looked, RepairScope
from galaxy_notify.fsck.realtime import RealtimeCheck
from galaxy_notify.fsck.shard import Page, ShardCheck
from galaxy_notify.fsck.user_keys import Terms
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_inspect.node_report import Node, nodes_of
from galaxy_notify.redis_state.deployment import Deployment

# After each page the server has as long to itself, but a slow network does not slow us further.
_LONGEST_REST_S: Final = 0.02
_PAUSES_S: Final = (0.1, 0.5, 2.0)
#: The defaults of ``realtime.history_ms`` and ``realtime.presence_ttl_ms``.
_TERMS: Final = Terms(86_400_000, 30_000)


@dataclass
class Fsck:
    """One run over a whole deployment; with *fix* it repairs, in the name of *actor*.

    It takes half of the server's time at most, in pages of about a millisecond. *progress* is
    called with the number of further things that were checked.
    """

    deployment: Deployment
    actor: str
    fix: bool = False
    terms: Terms = _TERMS
    progress: Callable[[int], None] = lambda _: None
    looked: Looked = field(default_factory=Looked)

    def run(self) -> Iterator[Inconsistency]:
        """Yield the faults as they are found; raise `RedisFault` without Redis."""
        found: list[Inconsistency] = []
        deployment, scope = self.deployment, RepairScope(self.actor, self.fix)
        users = RealtimeCheck(self.terms, scope, found.append, self.looked)
        for keys in deployment.all_keys:
            node = Node("", at_shard(deployment.client, keys.tag))
            routes = ShardCheck(keys, deployment.shared, scope, found.append, self.looked)
            yield from self._checked(node, routes.pages(), found)
            yield from self._checked(node, users.shard_pages(keys), found)
        for node in nodes_of(deployment):
            pages = users.node_pages(deployment.key_space.prefix)
            yield from self._checked(node, pages, found)

    def _checked(
        self, node: Node, pages: Iterable[Page], found: list[Inconsistency]
    ) -> Iterator[Inconsistency]:
        """Run pages, and yield what each of them has found."""
        for page in pages:
            before, started = self._seen, time.perf_counter()
            self._run(node, page)
            took_s = time.perf_counter() - started
            self.progress(self._seen - before)
            yield from found
            found.clear()
            time.sleep(min(took_s, _LONGEST_REST_S))

    def _run(self, node: Node, page: Page) -> None:
        """Check a page, again after a short outage: what was checked so far stays valid.

        A repair just before the outage is not reported: the second look finds no fault.
        """
        for pause_s in _PAUSES_S:
            try:
                return run_flow_sync(node.client, page())
            except RedisFault as error:
                if error.fault.remedy is Remedy.CONFIGURE:
                    raise
                time.sleep(pause_s)
        return run_flow_sync(node.client, page())

    @property
    def _seen(self) -> int:
        return self.looked.members + self.looked.notifications + self.looked.user_keys
