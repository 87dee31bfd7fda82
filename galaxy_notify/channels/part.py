"""The external channels of a process: the worker of each, over all shards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from galaxy_notify.channels.endings import Endings
from galaxy_notify.channels.hosts import Hosts
from galaxy_notify.channels.kind import Kind
from galaxy_notify.channels.listener import WakeListener
from galaxy_notify.channels.rate import Rate
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.channels.sending import FindContacts, HasRead, Sending
from galaxy_notify.channels.shard import ChannelShard
from galaxy_notify.channels.sources import RouteSource, Sources, claim_one
from galaxy_notify.channels.worker import ChannelWorker
from galaxy_notify.publishing.claimer import claim_limits
from galaxy_notify.publishing.state import PublisherState, ShardState
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings

_REPORT_S: Final = 1.0


class ChannelsPart:
    """Works the external channels that a process serves, until it is stopped."""

    def __init__(
        self,
        publisher: PublisherState,
        shards: Sequence[tuple[ShardState, Store]],
        kinds: Mapping[str, Kind],
        contacts: FindContacts | None = None,
        has_read: HasRead | None = None,
    ) -> None:
        """Prepare; *kinds* are those of the channels to serve.

        *contacts* is needed where one of them has contacts, *has_read* where one asks the feed.
        """
        self._publisher = publisher
        self._contacts = contacts
        self._has_read = has_read
        self._shards = [ChannelShard(state, store, self._wake) for state, store in shards]
        self._logs = [state.log for state, _ in shards]
        self._hosts: dict[str, Hosts] = {}
        self._workers = {name: self._worker(name, kind) for name, kind in kinds.items()}
        self._listeners = [self._listener(place) for place in range(len(self._shards))]
        self._stopped = asyncio.Event()
        # The first beat of the process reports the kinds.
        self._show_resting()

    async def run(self) -> None:
        """Send until stopped; raise the error of a defect."""
        channels = self._publisher.settings.channels
        tasks = [
            *(asyncio.create_task(one.run()) for one in self._listeners),
            *(
                asyncio.create_task(worker.run(channels[name].concurrency))
                for name, worker in self._workers.items()
            ),
            asyncio.create_task(self._report()),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.stop()
        await asyncio.wait(tasks)
        for task in (*done, *tasks):
            task.result()

    def stop(self) -> None:
        """Claim no more routes; what is being sent ends first."""
        self._stopped.set()
        for worker in self._workers.values():
            worker.stop()
        for listener in self._listeners:
            listener.stop()

    def _worker(self, name: str, kind: Kind) -> ChannelWorker:
        settings, policy = self._publisher.settings, self._publisher.policy
        channel = settings.channels[name]
        hosts = self._hosts[name] = Hosts(channel.per_host)
        reporter = ChannelReporter(self._publisher.telemetry, name, policy.worker_id)
        sending = Sending(
            kind,
            Endings(name, self._publisher),
            hosts,
            reporter,
            channel.timeout_ms / 1000,
        )
        sending.contacts = self._contacts if kind.has_contacts else None
        sending.has_read = self._has_read if channel.unless_read else None
        return ChannelWorker(kind, self._sources(name, settings), sending, reporter)

    def _sources(self, name: str, settings: Settings) -> Sources:
        channel = settings.channels[name]
        limits = claim_one(
            channel.lease_ttl_ms,
            claim_limits(settings).record_bytes,
            at_most_once=channel.delivery == "at_most_once",
        )
        worker_id = self._publisher.policy.worker_id
        poll_s = settings.worker.poll_interval_ms / 1000
        found = [RouteSource(name, worker_id, one, limits, poll_s) for one in self._shards]
        rate = None
        if channel.sends_per_s is not None:
            rate = Rate(channel.sends_per_s, partial(self._shards[0].store.take_sends, name))
        return Sources(found, rate, self._look)

    def _listener(self, place: int) -> WakeListener:
        shard = self._shards[place]
        channels = {
            name: (worker.sources, worker.sources.at(shard))
            for name, worker in self._workers.items()
        }
        return WakeListener(shard, channels, self._logs[place])

    def _wake(self) -> None:
        for worker in self._workers.values():
            worker.sources.wake()
        self._look()

    def _look(self) -> None:
        for listener in self._listeners:
            listener.look()

    async def _report(self) -> None:
        """Show which hosts rest, and log the sums of a channel that sends no more."""
        stopped = asyncio.create_task(self._stopped.wait())
        while not self._stopped.is_set():
            await asyncio.wait({stopped}, timeout=_REPORT_S)
            self._show_resting()
            for worker in self._workers.values():
                worker.log_sums()

    def _show_resting(self) -> None:
        resting = {name: hosts.resting for name, hosts in self._hosts.items()}
        for name, count in resting.items():
            self._publisher.telemetry.hosts_resting(name, count)
        self._publisher.show_breakers(resting)
