"""Readers of the feed: ``python -m tests.bench.feeds.reader URL NUMBER USER...``, one process each.

It reads a page, a page of unread items and the counts of each user in turn, and *nothing*, which
only asks for the time, with a pause behind each read. It prints how long each took, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings.feed import FeedSettings

Took = Mapping[str, Sequence[float]]
#: Between two reads: with it, a reader asks for about 50 things a second.
PAUSE_S = 0.02
#: Turns that are not counted.
WARM = 20

READS: dict[str, Callable[[FeedStore, str], Awaitable[object]]] = {
    "list": lambda store, user: store.list(user, ListQuery()),
    "unread": lambda store, user: store.list(user, ListQuery(unread=True)),
    "counts": lambda store, user: store.counts(user),
    "nothing": lambda store, _: store.now_ms(),
}


async def read(store: FeedStore, users: Sequence[str], number: int) -> Took:
    """Read so many times in each way; the first times are left out."""
    took: dict[str, list[float]] = {name: [] for name in READS}
    for turn in range(WARM + number):
        for name, reading in READS.items():
            began = time.perf_counter()
            await reading(store, users[turn % len(users)])
            if turn >= WARM:
                took[name].append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)
    return took


async def _main(url: str, number: int, users: Sequence[str]) -> None:
    store = FeedStore.from_settings(FeedSettings(url=url))
    print(json.dumps(await read(store, users, number)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
