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
        "Intents taken in; status is accepted or duplicate",
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
        "Intents that wait in a background notifier: queued, spilled or in flight",
    ),
    Instrument("intents.read", "counter", "{intent}", (), "Entries of the intent stream, as read"),
    Instrument(
        "intents.reclaimed",
        "counter",
        "{intent}",
        (),
        "Entries that a reader had left behind, tried again",
    ),
    Instrument(
        "intents.accepted",
        "counter",
        "{intent}",
        ("producer", "status"),
        "Intents of the stream taken in; status is accepted or duplicate",
    ),
    Instrument(
        "intents.rejected", "counter", "{intent}", (), "Entries moved to the rejects of the stream"
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
        "Attempts whose result is stored: published, retried or dead_lettered",
    ),
    Instrument(
        "routes.published", "counter", "{route}", ("channel", "type"), "Events in the stream"
    ),
    Instrument("routes.retried", "counter", "{route}", ("channel", "type"), "Retries scheduled"),
    Instrument(
        "routes.dead_lettered",
        "counter",
        "{route}",
        ("channel", "type", "class"),
        "Routes that now rest as dead letters",
    ),
    Instrument("routes.expired", "counter", "{route}", _CHANNEL, "Routes not published in time"),
    Instrument(
        "routes.conflicts", "counter", "{route}", _CHANNEL, "Lost races: the lease had moved on"
    ),
    Instrument("routes.abandoned", "counter", "{route}", _CHANNEL, "Leases that lapsed unsettled"),
    Instrument("routes.cancelled", "counter", "{route}", _CHANNEL, "Routes taken back"),
    Instrument("routes.skipped", "counter", "{route}", _CHANNEL, "Routes suppressed at accept"),
    Instrument("routes.replayed", "counter", "{route}", _CHANNEL, "Dead letters sent again"),
    Instrument("routes.purged", "counter", "{route}", _CHANNEL, "Dead letters given up"),
    Instrument(
        "routes.orphaned", "counter", "{route}", _CHANNEL, "Index entries without a usable record"
    ),
    Instrument(
        "routes.postponed", "counter", "{route}", _CHANNEL, "Routes that only a newer version reads"
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
        "batch.size", "histogram", "{item}", ("script",), "Items in one call of a script", _ITEMS
    ),
    Instrument(
        "script.duration",
        "histogram",
        "s",
        ("script",),
        "One call of a script, as the caller waits for it",
        _SECONDS_BUSY,
    ),
    Instrument(
        "state.faults",
        "counter",
        "{fault}",
        ("code", "became"),
        "What the janitor's check of all state found, mended or left",
    ),
    Instrument(
        "http.request.duration",
        "histogram",
        "s",
        ("method", "route", "status"),
        "A request of the HTTP API, from its head to the end of the answer",
        _SECONDS_BUSY,
    ),
    Instrument(
        "http.client.requests",
        "counter",
        "{request}",
        ("client", "status"),
        "Requests of the HTTP API by client",
    ),
    Instrument("redis.errors", "counter", "{error}", ("code",), "Errors of Redis, by code"),
    Instrument(
        "deployment.routes",
        "observable counter",
        "{route}",
        ("shard", "outcome"),
        "Routes since the beginning by outcome, over all processes; skipped:REASON are of skipped",
    ),
    Instrument("routes.scheduled", "gauge", "{route}", _BACKLOG, "Scheduled, leased ones included"),
    Instrument("routes.overdue", "gauge", "{route}", _BACKLOG, "Due for more than a second"),
    Instrument(
        "routes.oldest_overdue", "gauge", "s", _BACKLOG, "How long the oldest of them is overdue"
    ),
    Instrument("routes.dead", "gauge", "{route}", _BACKLOG, "Dead letters that rest"),
    Instrument("stream.length", "gauge", "{event}", ("shard",), "Events in the gateway stream"),
    Instrument(
        "stream.group.lag",
        "gauge",
        "{event}",
        ("shard", "group"),
        "Events a consumer group has not been given; beyond 1,000 it may be a lower bound",
    ),
    Instrument(
        "loop.idle", "gauge", "s", ("shard",), "Heartbeat: time since the loop last made a round"
    ),
)
