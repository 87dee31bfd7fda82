"""Accept a backlog or a schedule, from this process or, where it is large, from several.

As a process: ``python -m tests.bench.fill URL LOAD``, the load as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from galaxy_notify import Intent, Notifier
from tests.bench.bench_run import ensure_deployment
from tests.bench.texts import texts

_LARGE = 400_000
_CHUNK = 20_000


@dataclass(frozen=True)
class Load:
    """Notifications to accept.

    Without ``due_ms`` they are due now; else their due times spread evenly over ``span_ms``, and
    each recipient is named after the due time, so that the stream alone tells how late it was.
    """

    notifications: int
    fan_out: int = 1
    text_bytes: int = 200
    due_ms: int = 0
    span_ms: int = 0
    first: int = 0
    step: int = 1
    #: Where to; empty: the channel that an intent without channels goes to.
    channel: str = ""

    @property
    def routes(self) -> int:
        """Return how many routes it has."""
        return self.notifications * self.fan_out

    def intents(self) -> Iterator[Intent]:
        """Make the intents, one after the other."""
        bodies = texts(self.text_bytes)
        many = [f"user-{number}" for number in range(self.fan_out)]
        channels: dict[str, Any] = {"channels": [self.channel]} if self.channel else {}
        for number in range(self.first, self.notifications, self.step):
            due = self.due_ms + number * self.span_ms // self.notifications
            yield Intent(
                type="bench.turn",
                producer="bench",
                recipients=many if self.fan_out > 1 else [self._recipient(number, due)],
                body=bodies[number % len(bodies)],
                data={"turn": number},
                due_at=due if self.due_ms else None,
                **channels,
            )

    def _recipient(self, number: int, due: int) -> str:
        return f"user-{due}" if self.due_ms else f"user-{number}"


def fill(url: str, load: Load) -> float:
    """Accept everything and return the notifications a second; a large load takes two processes."""
    ensure_deployment(url)
    started = time.perf_counter()
    if load.notifications >= _LARGE:
        _fill_beside(url, load)
    else:
        _fill_here(url, load)
    return load.notifications / (time.perf_counter() - started)


def _fill_here(url: str, load: Load) -> None:
    with Notifier.from_url(url) as notifier:
        _accept(notifier, load.intents())


def _accept(notifier: Notifier, intents: Iterable[Intent]) -> None:
    refused = [r for r in notifier.accept_many(intents) if r.status != "accepted"]
    if refused:
        raise RuntimeError(f"{len(refused)} of the load refused: {refused[0]}")


def _fill_beside(url: str, load: Load) -> None:
    parts = [replace(load, first=load.first + n, step=2) for n in range(2)]
    command = [sys.executable, "-m", "tests.bench.fill", url]
    processes = [
        subprocess.Popen([*command, json.dumps(asdict(part))], stdout=subprocess.DEVNULL)
        for part in parts
    ]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        raise RuntimeError(f"filling ended with {codes}")


def main() -> None:
    """Accept one process's share, in chunks: all its receipts would not fit into memory."""
    own = Load(**json.loads(sys.argv[2]))
    with Notifier.from_url(sys.argv[1]) as notifier:
        rest = own.intents()
        while chunk := list(islice(rest, _CHUNK)):
            _accept(notifier, chunk)


if __name__ == "__main__":
    main()
