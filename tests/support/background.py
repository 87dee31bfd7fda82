"""What tests of the background notifier share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from galaxy_notify import BackgroundNotifier, BackgroundOptions
from galaxy_notify.background.stats import Stats
from tests.support.intents import PLAIN
from tests.support.telemetry import Lines
from tests.support.wait import wait_until

NOWHERE = "redis://127.0.0.1:1/0"


@contextmanager
def background(url: str, **options: Any) -> Iterator[BackgroundNotifier]:
    """Run a background notifier; what it still has at the end is not waited for."""
    notifier = BackgroundNotifier.from_url(url, options=BackgroundOptions(**options))
    try:
        yield notifier
    finally:
        notifier.close(0)


def enqueue(notifier: BackgroundNotifier, *recipients: str, **fields: Any) -> list[str | None]:
    """Hand in an intent for each recipient and return their ids."""
    return [notifier.enqueue({**PLAIN, "recipients": [one], **fields}) for one in recipients]


def drained(notifier: BackgroundNotifier) -> None:
    """Wait until nothing waits in a notifier, and look whether its sum is right."""
    wait_until(lambda: not notifier.stats().waiting, "nothing waits")
    assert is_exact(notifier.stats())


def is_exact(stats: Stats) -> bool:
    """Return whether every intent is in exactly one place."""
    settled = stats.accepted + stats.duplicates
    lost = sum(stats.refused.values()) + sum(stats.dropped.values())
    return stats.enqueued + stats.found == settled + lost + stats.waiting


def events(lines: Lines) -> list[str]:
    """Return the names of all log events."""
    return [line["event"] for line in lines()]
