"""What reads of a deployment return: frozen values whose fields are those of the commands' JSON.

An `Inspector` returns them, and the HTTP API answers with their JSON.

One name differs, because Python keeps it for itself: ``class`` is ``failure_class``. Times end in
``_ms`` (epoch ms), durations in ``_s`` (seconds) or ``_ms``; None is what is not known, or is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, SkipValidation, TypeAdapter

from galaxy_notify.redis_inspect.feed import FeedWriter
from galaxy_notify.redis_inspect.gateways import Gateway
from galaxy_notify.redis_inspect.notifications import Lease
from galaxy_notify.redis_inspect.servers import Worker

#: The name that Python allows for ``class``.
FailureClass = Annotated[str, Field(alias="class")]


@dataclass(frozen=True, slots=True)
class ListedNotification:
    """A line of ``list --json``; with a user, ``state``, ``states`` and ``open`` are of its routes.

    ``state`` is the status of every route, or ``mixed``; ``states`` counts them by status.
    """

    notification_id: str
    type: str | None
    producer: str | None
    severity: str | None
    accepted_at_ms: int
    created_at_ms: int | None
    due_at_ms: int | None
    expires_at_ms: int | None
    routes: int | None
    open: int
    cancelled: bool
    parts: int | None
    state: str | None
    states: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class NotificationPage:
    """Some of the list, the newest first; without a ``cursor`` it was the last page.

    It may be shorter than asked for, even empty, while there is more. ``foreign`` names keys in
    which no list can be kept because they hold something else: their shards are left out.
    """

    items: tuple[ListedNotification, ...]
    cursor: str | None
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """Something that happened to a route."""

    at_ms: int
    event: str
    worker: str
    attempt: int
    failure_class: FailureClass
    message: str
    stream_id: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed."""

    failure_class: FailureClass
    message: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a notification; ``why`` says in a sentence why it is where it is.

    ``status`` is ``pending``, ``failed``, ``published``, ``delivered``, ``dead_letter``,
    ``cancelled``, ``expired``, ``skipped``, ``purged``, or ``corrupt`` where its state cannot be
    read.
    """

    route_id: str
    status: str
    generation: int
    attempts: int
    max_attempts: int
    due_at_ms: int | None
    lease: Lease | None
    failure: Failure | None
    stream_id: str
    why: str
    history: tuple[HistoryLine, ...]


@dataclass(frozen=True, slots=True)
class ShownNotification:
    """A notification explained, as ``show --json`` prints it.

    ``open`` counts the routes that still need it, ``ttl_ms`` is how long it is kept (None while
    routes are open). ``payload`` is None unless it was asked for.
    """

    notification_id: str
    type: str
    producer: str
    severity: str
    created_at_ms: int | None
    due_at_ms: int | None
    expires_at_ms: int | None
    request_id: str
    trace_id: str
    open: int
    ttl_ms: int | None
    parts: int
    routes: tuple[Route, ...]
    # A forged record may hold anything.
    payload: Annotated[Mapping[str, Any] | None, SkipValidation] = None


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """What waits in a channel: ``scheduled`` routes (the leased ones among them), ``due`` and not
    leased, ``overdue`` for more than a second, dead; for how long it is paused, on which shards.

    ``kind`` is that of an external channel which a worker serves now, else None; ``breakers_open``
    counts hosts that rest since they do not answer.
    """

    scheduled: int
    due: int
    overdue: int
    oldest_overdue_s: float
    leased: int
    dead: int
    paused: bool
    paused_s: float | None
    paused_shards: int
    kind: str | None = None
    breakers_open: int = 0


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """How a consumer group stands; ``lag_at_least`` only where ``lag`` is too far to count."""

    lag: int | None
    pending: int
    oldest_pending_s: float | None
    lost: int | None
    lag_at_least: int | None = None


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A gateway stream; one that is ``holding`` takes nothing until its groups have read.

    ``error`` says why it takes nothing, where its key is no stream.
    """

    length: int
    max_len: int
    holding: bool
    groups: Mapping[str, GroupStatus]
    held_s: float | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """What the server calls itself."""

    flavour: str
    version: str


@dataclass(frozen=True, slots=True)
class RedisStatus:
    """Whether writes are ``taken``, ``refused`` (and why) or ``unknown``; for how long it is up."""

    writes: str
    refusal: str | None
    uptime_s: int | None


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """What the memory goes to, estimated from so many notifications; None is unknown.

    ``kept_bytes`` is what is kept after its last route ended; ``streams_bytes`` are the gateway
    streams and the list of what was accepted.
    """

    waiting_bytes: int
    kept_bytes: int | None
    dead_bytes: int
    streams_bytes: int
    sampled: int


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """What waits for the feed: events of the streams (``lag``), of the ``backlog``, the oldest for
    ``oldest_s``; what Postgres refused is ``parked``.
    """

    lag: int
    backlog: int
    parked: int
    oldest_s: float
    writers: tuple[FeedWriter, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment at one moment, as ``status --json`` prints it."""

    at_ms: int
    server: Server
    shards: int
    channels: Mapping[str, ChannelStatus]
    totals: Mapping[str, int]
    streams: Mapping[str, StreamStatus]
    workers: tuple[Worker, ...]
    redis: RedisStatus
    memory: MemoryStatus | None = None
    gateways: tuple[Gateway, ...] = ()
    feed: FeedStatus | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line of ``dead ls --json``; ``id`` is ``<notification_id>/<route_id>``.

    What cannot be read any more is empty or 0.
    """

    id: str
    channel: str
    recipient: str
    type: str
    producer: str
    failure_class: FailureClass
    message: str
    attempts: int
    generation: int
    dead_at_ms: int
    worker: str


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Some dead letters, the oldest first; without a ``cursor`` it was the last page.

    It may be shorter than asked for, even empty, while there is more.
    """

    items: tuple[DeadLetter, ...]
    cursor: str | None


# These read what the commands print, with values for the documents in it.
LISTED: Final = TypeAdapter(ListedNotification)
SHOWN: Final = TypeAdapter(ShownNotification)
DEAD_LETTER: Final = TypeAdapter(DeadLetter)
STATUS: Final = TypeAdapter(Status)
