"""Public reads: what was accepted, why it is where it is, what waits, what died."""

from galaxy_notify.inspector.inspector import AsyncInspector, Inspector
from galaxy_notify.inspector.queries import DeadLetterQuery, ListQuery
from galaxy_notify.operations.documents import (
    ChannelStatus,
    DeadLetter,
    DeadLetterPage,
    Failure,
    FeedStatus,
    GroupStatus,
    HistoryLine,
    ListedNotification,
    MemoryStatus,
    NotificationPage,
    RedisStatus,
    Route,
    Server,
    ShownNotification,
    Status,
    StreamStatus,
)
from galaxy_notify.redis_inspect.feed import FeedWriter
from galaxy_notify.redis_inspect.gateways import Gateway
from galaxy_notify.redis_inspect.notifications import Lease
from galaxy_notify.redis_inspect.servers import Worker

__all__ = [
    "AsyncInspector",
    "ChannelStatus",
    "DeadLetter",
    "DeadLetterPage",
    "DeadLetterQuery",
    "Failure",
    "FeedStatus",
    "FeedWriter",
    "Gateway",
    "GroupStatus",
    "HistoryLine",
    "Inspector",
    "Lease",
    "ListQuery",
    "ListedNotification",
    "MemoryStatus",
    "NotificationPage",
    "RedisStatus",
    "Route",
    "Server",
    "ShownNotification",
    "Status",
    "StreamStatus",
    "Worker",
]
