"""Public reads: what was accepted, why it is where it is, what waits, what died."""

from galaxy_notify.inspector.inspector import AsyncInspector, Inspector
from galaxy_notify.inspector.queries import DeadLetterQuery, ListQuery
from galaxy_notify.inspector.values import (
    ChannelStatus,
    DeadLetter,
    DeadLetterPage,
    Failure,
    GroupStatus,
    HistoryLine,
    Lease,
    ListedNotification,
    NotificationPage,
    RedisStatus,
    Route,
    Server,
    ShownNotification,
    Status,
    StreamStatus,
    Worker,
)

__all__ = [
    "AsyncInspector",
    "ChannelStatus",
    "DeadLetter",
    "DeadLetterPage",
    "DeadLetterQuery",
    "Failure",
    "GroupStatus",
    "HistoryLine",
    "Inspector",
    "Lease",
    "ListQuery",
    "ListedNotification",
    "NotificationPage",
    "RedisStatus",
    "Route",
    "Server",
    "ShownNotification",
    "Status",
    "StreamStatus",
    "Worker",
]
