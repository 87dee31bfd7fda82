"""Every metric there is. Instruments are made from this table, and the docs are checked by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from opentelemetry.metrics import Counter

Kind = Literal["counter", "histogram", "gauge", "observable counter"]


class Instrument(NamedTuple):
    """One metric: its name without the prefix, kind, unit, attributes and meaning."""

    short_name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    description: str
    buckets: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Return the name as it is exported."""
        return f"galaxy_notify.{self.short_name}"


_SECONDS_BUSY: Final = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
_BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "routes.lateness": (
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
        *(2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
    ),
    "batch.size": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1000.0),
    "script.duration": _SECONDS_BUSY,
    "http.request.duration": _SECONDS_BUSY,
    "realtime.latency": _SECONDS_BUSY,
    "feed.insert.duration": _SECONDS_BUSY,
    "deliveries.duration": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
}

# A line has the name, the unit and the attributes; the indented text is the meaning.
_TABLES: Final[Mapping[Kind, str]] = {
    "counter": """
notifications.accepted {notification} status
    Intents accepted; status is accepted or duplicate
notifications.refused {notification} code
    Intents refused, by code
background.dropped {notification} reason
    Intents that a background notifier dropped, by reason
intents.read {intent}
    Entries read from the intent stream
intents.reclaimed {intent}
    Entries claimed from a reader that stopped renewing them
intents.accepted {intent} producer status
    Intents accepted from the stream; status is accepted or duplicate
intents.rejected {intent}
    Entries moved to the rejects stream
routes.accepted {route} channel
    Routes of accepted intents; channel is any where the intent names none
routes.attempts {attempt} channel type result class
    Attempts with a stored result: published, retried or dead_lettered
routes.published {route} channel type
    Events published to the gateway stream
routes.retried {route} channel type
    Retries scheduled
routes.dead_lettered {route} channel type class
    Routes dead-lettered
routes.expired {route} channel
    Routes that expired before they were published
routes.conflicts {route} channel
    Settlements refused because another worker held the lease
routes.abandoned {route} channel
    Leases that expired before their route was settled
routes.cancelled {route} channel
    Routes cancelled
routes.skipped {route} channel
    Routes suppressed at accept
routes.replayed {route} channel
    Dead letters replayed
routes.purged {route} channel
    Dead letters purged
routes.orphaned {route} channel
    Index entries without a usable record
routes.postponed {route} channel
    Routes released because their format is newer than this version
state.faults {fault} code became
    Inconsistencies that the janitor's state check found, repaired or left
http.client.requests {request} client status
    HTTP API requests by client
realtime.streams {stream} result
    Streams that began: new, resumed or reset
realtime.resets {reset} reason
    Resets sent to clients, because events may be missing
realtime.ended {stream} reason
    Streams that ended: left, or the reason that the client was given
realtime.frames {frame} kind
    Messages written to clients
feed.events {event} result
    Events read for the feed: written, repeated (the row was there), refused (and parked) or left
    (the user was locked)
feed.deliveries {entry} result
    Entries of the delivery stream read for the feed: added (the item names the channel), passed
    (another outcome), parked (unreadable) or given_up (the feed has no such item)
deliveries.attempts {attempt} channel outcome reason
    Attempts of external channels at single addresses; outcome is delivered, transient, permanent or
    gone (the address is disabled)
redis.errors {error} code
    Redis errors, by code
""",
    "gauge": """
background.waiting {notification} place
    Intents waiting in a background notifier: queued, spilled or in flight
routes.scheduled {route} shard channel
    Scheduled routes, including leased ones
routes.overdue {route} shard channel
    Routes that have been due for more than one second
routes.oldest_overdue s shard channel
    Age of the oldest overdue route, counted from its due time
routes.dead {route} shard channel
    Dead letters stored
stream.length {event} shard
    Events in the gateway stream
stream.group.lag {event} shard group
    Events not yet delivered to a consumer group; above 1,000 it may be a lower bound
realtime.connections {connection}
    Clients connected to this process
realtime.users {user}
    Users connected to this process
realtime.inbox.lag {entry}
    Entries of this process's inbox that it has not read
feed.waiting {event} shard
    Events in the gateway stream that are not yet in the feed; at most a page too many
feed.backlog {event} shard
    Events that wait for Postgres in the backlog of the feed
deliveries.hosts_resting {host} channel
    Hosts of an external channel that get no attempts for a while, since they do not answer
loop.idle s shard
    Time since the worker loop last completed a round
""",
    "histogram": """
routes.lateness s channel
    Publish time minus due time; up to 8 routes of each batch are measured
deliveries.duration s channel outcome
    Duration of an attempt of an external channel at one address
batch.size {item} script
    Items in one script call
script.duration s script
    Duration of one script call, as the caller sees it
realtime.latency s
    From the gateway stream to the write to a client; up to 100 events a second are measured
realtime.feed.duration s call result
    Duration of a call of a user's own feed (page, counts, read, unread, seen or archive), waiting
    included; result is ok or the kind of the problem
feed.insert.duration s
    Duration of the insert of one batch into the feed, waiting for Postgres included
http.request.duration s method route status
    Duration of an HTTP API request, from its header to the end of the response
""",
    "observable counter": """
deployment.routes {route} shard outcome
    Routes by outcome since the deployment began, over all processes; skipped:REASON is a part
    of skipped
""",
}


def _instruments(kind: Kind, table: str) -> Iterator[Instrument]:
    for entry in table.strip().replace("\n    ", "\t").splitlines():
        head, *meaning = entry.split("\t")
        name, unit, *attributes = head.split()
        buckets = _BUCKETS.get(name, ())
        yield Instrument(name, kind, unit, tuple(attributes), " ".join(meaning), buckets)


INSTRUMENTS: Final = tuple(
    instrument for kind, table in _TABLES.items() for instrument in _instruments(kind, table)
)


class DeferredCounter:
    """Adds up by itself, and hands its sums to OpenTelemetry when something reads them.

    The SDK takes several microseconds for each count, as long as parsing a whole request. The first
    count of each set of attributes goes there at once, since their time series begins with it.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = threading.Lock()
        self._waiting: dict[tuple[tuple[str, str], ...], int] = {}

    def add(self, count: int, attributes: Mapping[str, str]) -> None:
        """Count; there must be a bound on the number of different *attributes*."""
        key = tuple(attributes.items())
        with self._lock:
            if key in self._waiting:
                self._waiting[key] += count
                return
            self._waiting[key] = 0
        self._counter.add(count, attributes)

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        with self._lock:
            due = [(key, count) for key, count in self._waiting.items() if count]
            self._waiting.update((key, 0) for key, _ in due)
        for key, count in due:
            self._counter.add(count, dict(key))
