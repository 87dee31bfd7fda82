"""Every metric there is. Instruments are made from this table, and the docs are checked by it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

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


_SECONDS_LATE: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
)
_SECONDS_BUSY: Final = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
_ITEMS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1000.0)

_CHANNEL: Final = ("channel",)
_BACKLOG: Final = ("shard", "channel")

INSTRUMENTS: Final = (
    Instrument(
        "notifications.accepted",
        "counter",
        "{notification}",
        ("status",),
        "Intents accepted; status is accepted or duplicate",
    ),
    Instrument(
        "notifications.refused", "counter", "{notification}", ("code",), "Intents refused, by code"
    ),
    Instrument(
        "background.dropped",
        "counter",
        "{notification}",
        ("reason",),
        "Intents that a background notifier dropped, by reason",
    ),
    Instrument(
        "background.waiting",
        "gauge",
        "{notification}",
        ("place",),
        "Intents waiting in a background notifier: queued, spilled or in flight",
    ),
    Instrument("intents.read", "counter", "{intent}", (), "Entries read from the intent stream"),
    Instrument(
        "intents.reclaimed",
        "counter",
        "{intent}",
        (),
        "Entries claimed from a reader that stopped renewing them",
    ),
    Instrument(
        "intents.accepted",
        "counter",
        "{intent}",
        ("producer", "status"),
        "Intents accepted from the stream; status is accepted or duplicate",
    ),
    Instrument(
        "intents.rejected", "counter", "{intent}", (), "Entries moved to the rejects stream"
    ),
    Instrument(
        "routes.accepted",
        "counter",
        "{route}",
        _CHANNEL,
        "Routes of accepted intents; channel is any where the intent names none",
    ),
    Instrument(
        "routes.attempts",
        "counter",
        "{attempt}",
        ("channel", "type", "result", "class"),
        "Attempts with a stored result: published, retried or dead_lettered",
    ),
    Instrument(
        "routes.published",
        "counter",
        "{route}",
        ("channel", "type"),
        "Events published to the gateway stream",
    ),
    Instrument("routes.retried", "counter", "{route}", ("channel", "type"), "Retries scheduled"),
    Instrument(
        "routes.dead_lettered",
        "counter",
        "{route}",
        ("channel", "type", "class"),
        "Routes dead-lettered",
    ),
    Instrument(
        "routes.expired",
        "counter",
        "{route}",
        _CHANNEL,
        "Routes that expired before they were published",
    ),
    Instrument(
        "routes.conflicts",
        "counter",
        "{route}",
        _CHANNEL,
        "Settlements refused because another worker held the lease",
    ),
    Instrument(
        "routes.abandoned",
        "counter",
        "{route}",
        _CHANNEL,
        "Leases that expired before their route was settled",
    ),
    Instrument("routes.cancelled", "counter", "{route}", _CHANNEL, "Routes cancelled"),
    Instrument("routes.skipped", "counter", "{route}", _CHANNEL, "Routes suppressed at accept"),
    Instrument("routes.replayed", "counter", "{route}", _CHANNEL, "Dead letters replayed"),
    Instrument("routes.purged", "counter", "{route}", _CHANNEL, "Dead letters purged"),
    Instrument(
        "routes.orphaned", "counter", "{route}", _CHANNEL, "Index entries without a usable record"
    ),
    Instrument(
        "routes.postponed",
        "counter",
        "{route}",
        _CHANNEL,
        "Routes released because their format is newer than this version",
    ),
    Instrument(
        "routes.lateness",
        "histogram",
        "s",
        _CHANNEL,
        "Publish time minus due time; up to 8 routes of each batch are measured",
        _SECONDS_LATE,
    ),
    Instrument(
        "batch.size", "histogram", "{item}", ("script",), "Items in one script call", _ITEMS
    ),
    Instrument(
        "script.duration",
        "histogram",
        "s",
        ("script",),
        "Duration of one script call, as the caller sees it",
        _SECONDS_BUSY,
    ),
    Instrument(
        "state.faults",
        "counter",
        "{fault}",
        ("code", "became"),
        "Inconsistencies that the janitor's state check found, repaired or left",
    ),
    Instrument(
        "http.request.duration",
        "histogram",
        "s",
        ("method", "route", "status"),
        "Duration of an HTTP API request, from its header to the end of the response",
        _SECONDS_BUSY,
    ),
    Instrument(
        "http.client.requests",
        "counter",
        "{request}",
        ("client", "status"),
        "HTTP API requests by client",
    ),
    Instrument("redis.errors", "counter", "{error}", ("code",), "Redis errors, by code"),
    Instrument(
        "deployment.routes",
        "observable counter",
        "{route}",
        ("shard", "outcome"),
        "Routes by outcome since the deployment began, over all processes; skipped:REASON is a "
        "part of skipped",
    ),
    Instrument(
        "routes.scheduled", "gauge", "{route}", _BACKLOG, "Scheduled routes, including leased ones"
    ),
    Instrument(
        "routes.overdue",
        "gauge",
        "{route}",
        _BACKLOG,
        "Routes that have been due for more than one second",
    ),
    Instrument(
        "routes.oldest_overdue",
        "gauge",
        "s",
        _BACKLOG,
        "Age of the oldest overdue route, counted from its due time",
    ),
    Instrument("routes.dead", "gauge", "{route}", _BACKLOG, "Dead letters stored"),
    Instrument("stream.length", "gauge", "{event}", ("shard",), "Events in the gateway stream"),
    Instrument(
        "stream.group.lag",
        "gauge",
        "{event}",
        ("shard", "group"),
        "Events not yet delivered to a consumer group; above 1,000 it may be a lower bound",
    ),
    Instrument(
        "loop.idle", "gauge", "s", ("shard",), "Time since the worker loop last completed a round"
    ),
)
