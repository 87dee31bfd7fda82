"""Values from the documents that the commands print: their names exist once, in ``as_json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galaxy_notify.inspector.values import (
    ChannelStatus,
    DeadLetter,
    Failure,
    GroupStatus,
    HistoryLine,
    Lease,
    ListedNotification,
    RedisStatus,
    Route,
    Server,
    ShownNotification,
    Status,
    StreamStatus,
    Worker,
)

Document = Mapping[str, Any]


def listed(document: Document) -> ListedNotification:
    """Return a line of the list."""
    return ListedNotification(**document)


def shown(document: Document) -> ShownNotification:
    """Return an explained notification."""
    routes = tuple(_route(route) for route in document["routes"])
    return ShownNotification(**{**document, "routes": routes})


def dead_letter(document: Document) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(**_without_class(document))


def status(document: Document) -> Status:
    """Return the status of a deployment."""
    parts = {
        "server": Server(**document["server"]),
        "channels": {name: ChannelStatus(**one) for name, one in document["channels"].items()},
        "streams": {key: _stream(stream) for key, stream in document["streams"].items()},
        "workers": tuple(Worker(**worker) for worker in document["workers"]),
        "redis": RedisStatus(**document["redis"]),
    }
    return Status(**{**document, **parts})


def _route(document: Document) -> Route:
    lease, failure = document["lease"], document["failure"]
    parts = {
        "lease": Lease(**lease) if lease else None,
        "failure": Failure(**_without_class(failure)) if failure else None,
        "history": tuple(HistoryLine(**_without_class(line)) for line in document["history"]),
    }
    return Route(**{**document, **parts})


def _stream(document: Document) -> StreamStatus:
    groups = {name: GroupStatus(**group) for name, group in document["groups"].items()}
    return StreamStatus(**{**document, "groups": groups})


def _without_class(document: Document) -> dict[str, Any]:
    """Return the same with the name that Python allows."""
    fields = dict(document)
    fields["failure_class"] = fields.pop("class")
    return fields
