"""What is shown when a reader asks, such as the backlog of each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from galaxy_notify.telemetry.base import Snapshot
from galaxy_notify.telemetry.instruments import INSTRUMENTS, Instrument
from galaxy_notify.telemetry.labels import CappedLabels

MAX_GROUPS: Final = 50
SNAPSHOT_KEPT_S: Final = 60.0

Clock = Callable[[], float]


class Gauges:
    """Shows the last snapshot while it is fresh: an old number is worse than none."""

    def __init__(
        self, meter: Meter, clock: Clock, before_read: Callable[[], None] = lambda: None
    ) -> None:
        """Register with *meter*; *before_read* is called when a reader of it asks for a gauge.

        Readers ask for gauges before they look at counters.
        """
        self._clock = clock
        self._before_read = before_read
        self._groups = CappedLabels(MAX_GROUPS)
        self._snapshot = Snapshot()
        self._observed_at = clock()
        self._progress: dict[int, float] = {}
        #: What waits in a background notifier, by place.
        self.waiting: dict[str, int] = {}
        #: What a gateway process holds, by the name of the gauge.
        self.gateway: dict[str, int] = {}
        #: What a writer of the feed has not written, by the name of the gauge, by shard.
        self.feed: dict[str, dict[int, int]] = {}
        #: How many hosts of an external channel rest, by channel.
        self.hosts_resting: dict[str, int] = {}
        for instrument in INSTRUMENTS:
            self._register(meter, instrument)

    def progressed(self, shard: int) -> None:
        """Record that the loop of this shard is alive now."""
        self._progress[shard] = self._clock()

    def observe(self, snapshot: Snapshot) -> None:
        """Replace what the gauges show."""
        self._snapshot, self._observed_at = snapshot, self._clock()

    def read(self, short_name: str) -> Iterator[Observation]:
        """Yield what one gauge shows just now."""
        yield from self._of_process(short_name)
        if self._clock() - self._observed_at <= SNAPSHOT_KEPT_S:
            yield from self._from_snapshot(short_name, self._snapshot)

    def _of_process(self, short_name: str) -> Iterator[Observation]:
        """Yield what this process itself has."""
        named = {
            "background.waiting": ("place", self.waiting),
            "deliveries.hosts_resting": ("channel", self.hosts_resting),
        }
        if short_name == "loop.idle":
            now = self._clock()
            for shard, at in self._progress.copy().items():
                yield Observation(max(0.0, now - at), {"shard": shard})
        elif short_name in named:
            attribute, counts = named[short_name]
            for name, count in counts.copy().items():
                yield Observation(count, {attribute: name})
        elif short_name in self.gateway:
            yield Observation(self.gateway[short_name])
        for shard, count in self.feed.get(short_name, {}).copy().items():
            yield Observation(count, {"shard": shard})

    def _from_snapshot(self, short_name: str, snapshot: Snapshot) -> Iterator[Observation]:
        # The daemons show the backlog too: where no writer lives nothing else would.
        backlogs = {} if self.feed else snapshot.feed_backlogs
        lengths = {"stream.length": snapshot.streams, "feed.backlog": backlogs}
        if short_name in lengths:
            for shard, length in lengths[short_name].items():
                yield Observation(length, {"shard": shard})
        elif short_name == "stream.group.lag":
            yield from self._lags(snapshot)
        elif short_name == "deployment.routes":
            for (shard, outcome), count in snapshot.totals.items():
                yield Observation(count, {"shard": shard, "outcome": outcome})
        elif short_name.startswith("routes."):
            field = short_name.removeprefix("routes.")
            field = "oldest_overdue_s" if field == "oldest_overdue" else field
            for (shard, channel), backlog in snapshot.backlogs.items():
                yield Observation(getattr(backlog, field), {"shard": shard, "channel": channel})

    def _lags(self, snapshot: Snapshot) -> Iterator[Observation]:
        for (shard, group), lag in snapshot.lags.items():
            yield Observation(lag, {"shard": shard, "group": self._groups.label(group)})

    def _register(self, meter: Meter, instrument: Instrument) -> None:
        def read(_options: CallbackOptions) -> Iterator[Observation]:
            self._before_read()
            return self.read(instrument.short_name)

        texts = (instrument.unit, instrument.description)
        if instrument.kind == "gauge":
            meter.create_observable_gauge(instrument.name, [read], *texts)
        elif instrument.kind == "observable counter":
            meter.create_observable_counter(instrument.name, [read], *texts)
