"""The interface of telemetry for the rest of the package; this base only costs a method call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

#: What a batch did to a route: notification type, result, failure class ("" where none).
#: Results: published, retried, dead_lettered, expired, conflict (a lost race).
Settled = tuple[str, str, str]

#: What happened to routes outside of a settled batch.
Verb = Literal["abandoned", "cancelled", "orphaned", "postponed", "purged", "replayed", "skipped"]

#: What happened to entries of the intent stream.
IntentVerb = Literal["read", "reclaimed", "rejected"]


#: What OpenTelemetry exports, as its environment variables name it.
Signal = Literal["METRICS", "TRACES"]


class Wish(NamedTuple):
    """One exporter that the environment asks for; ``timeout_s`` None leaves it to the SDK."""

    signal: Signal
    exporter: str
    protocol: str
    timeout_s: int | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits and what rests in one channel of one shard."""

    scheduled: int = 0
    overdue: int = 0
    oldest_overdue_s: float = 0.0
    dead: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the shards a process looks after, as far as it could be read."""

    #: (shard, channel) → backlog
    backlogs: Mapping[tuple[int, str], Backlog] = field(default_factory=dict)
    #: shard → entries in its gateway stream
    streams: Mapping[int, int] = field(default_factory=dict)
    #: (shard, group) → entries not yet delivered, or a lower bound
    lags: Mapping[tuple[int, str], int] = field(default_factory=dict)
    #: (shard, outcome) → routes since the deployment began, over all processes
    totals: Mapping[tuple[int, str], int] = field(default_factory=dict)
    #: shard → events that wait for the feed outside of the gateway stream
    feed_backlogs: Mapping[int, int] = field(default_factory=dict)

    def __or__(self, other: Snapshot) -> Snapshot:
        """Return the state of the shards of both."""
        return Snapshot(
            {**self.backlogs, **other.backlogs},
            {**self.streams, **other.streams},
            {**self.lags, **other.lags},
            {**self.totals, **other.totals},
            {**self.feed_backlogs, **other.feed_backlogs},
        )


class Telemetry:
    """Takes note of what happens. This base notes nothing; `start_telemetry` may give more."""

    @classmethod
    def off(cls) -> Telemetry:
        """Return telemetry that records nothing."""
        return Telemetry()

    def accepted(self, notifications: int, routes: Mapping[str, int], duplicates: int = 0) -> None:
        """Count accepted notifications, their routes by channel, and repeated ones."""

    def refused(self, code: str, count: int = 1) -> None:
        """Count refused intents by the code of their receipt."""

    def background(self, dropped: Mapping[str, int], waiting: Mapping[str, int]) -> None:
        """Count what a background notifier dropped, by reason; show what waits in it, by place."""

    def intents(self, verb: IntentVerb, count: int = 1) -> None:
        """Count entries of the intent stream that were read, tried again or rejected."""

    def intents_of(self, producer: str, status: str, count: int = 1) -> None:
        """Count intents of the stream by producer; status is accepted or duplicate."""

    def batch_settled(
        self, channel: str, counts: Mapping[Settled, int], lateness_s: Sequence[float]
    ) -> None:
        """Count what a stored batch did, and note how late its published routes were."""

    def delivery_attempted(self, channel: str, outcome: str, reason: str, seconds: float) -> None:
        """Count an attempt of an external channel at one address, and how long it took."""

    def hosts_resting(self, channel: str, count: int) -> None:
        """Show how many hosts of an external channel rest, since they do not answer."""

    def routes(self, verb: Verb, channel: str, count: int = 1) -> None:
        """Count routes that an operator or a reposition moved."""

    def fault(self, code: str, became: str) -> None:
        """Count a fault of the state: its kind, and whether it was repaired or left."""

    def script_ran(self, script: str, seconds: float, items: int = 0) -> None:
        """Record how long a script took over the wire, and the size of its batch if it had one."""

    def redis_error(self, code: str) -> None:
        """Count an error by its code, such as OOM, READONLY or timeout."""

    def progressed(self, shard: int) -> None:
        """Record that the loop of this shard is alive now."""

    def observe(self, snapshot: Snapshot) -> None:
        """Replace what the gauges show."""

    def publish_span(
        self, stream: str, routes: int, traceparents: Iterable[str]
    ) -> AbstractContextManager[object]:
        """Return a span around one batch, linked to where its notifications came from."""
        return nullcontext()

    def published_span(
        self, stream: str, routes: int, traceparents: Iterable[str], started_ns: int
    ) -> None:
        """Record the span of a batch that is published, from *started_ns* (epoch) until now."""

    def request(self, method: str, route: str, status: int, client: str, seconds: float) -> None:
        """Count a request of the HTTP API, note how long it took, and whose it was."""

    def stream_began(self, result: str) -> None:
        """Count a stream of the gateway that began: new, resumed or reset."""

    def stream_reset(self, reason: str, count: int = 1) -> None:
        """Count resets that clients were sent, by reason."""

    def stream_ended(self, reason: str) -> None:
        """Count a stream of the gateway that ended: left, or the reason given to the client."""

    def stream_frames(self, kind: str, count: int) -> None:
        """Count messages that were written to clients."""

    def stream_latencies(self, seconds: Sequence[float]) -> None:
        """Note how long events took from the gateway stream to a client."""

    def gateway(self, connections: int, users: int, inbox_lag: int) -> None:
        """Replace what the gauges of a gateway process show."""

    def feed_events(self, counts: Mapping[str, int]) -> None:
        """Count events of a batch by what became of them: see `feed.events`."""

    def feed_deliveries(self, counts: Mapping[str, int]) -> None:
        """Count entries of the delivery stream by what became of them: see `feed.deliveries`."""

    def feed_inserted(self, seconds: float) -> None:
        """Record how long the insert of a batch took, COMMIT included."""

    def feed_called(self, call: str, result: str, seconds: float) -> None:
        """Count a call of a user's own feed, and note how long it took; see `realtime.feed`."""

    def feed_waiting(self, shard: int, waiting: int, backlog: int) -> None:
        """Replace what the gauges show of the events that a shard's feed has not taken."""

    def shutdown(self, timeout_s: float = 3.0) -> bool:
        """Send what is left, for at most this long; False where that was not enough."""
        return True
