"""The list of a deployment, read to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import Page, list_notifications
from tests.support.deployment import DeploymentFixture
from tests.support.intents import PLAIN

ANY = ListFilter()


def pages(
    deployment: DeploymentFixture, wanted: ListFilter = ANY, limit: int = 100
) -> Iterator[Page]:
    """Yield page after page, to the end."""
    cursor = None
    while True:
        page = list_notifications(deployment.connected, wanted, limit, cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def ids(deployment: DeploymentFixture, wanted: ListFilter = ANY, limit: int = 100) -> list[str]:
    """Return the ids of all that is listed, in order."""
    return [
        item.listed.notification_id
        for page in pages(deployment, wanted, limit)
        for item in page.items
    ]


def some(deployment: DeploymentFixture, count: int, **fields: Any) -> list[str]:
    """Accept notifications, some alone and some together; return their ids."""
    made = [deployment.notify(**fields) for _ in range(count // 2)]
    receipts = deployment.notifier.accept_many([{**PLAIN, **fields}] * (count - len(made)))
    return made + [receipt.notification_id or "" for receipt in receipts]


def told(deployment: DeploymentFixture, made: str) -> dict[str, Any]:
    """Return what is told of one notification."""
    (item,) = [
        item.as_json()
        for page in pages(deployment)
        for item in page.items
        if item.listed.notification_id == made
    ]
    return item
