"""The events of a run: read page by page, and checked to be there exactly once each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tests.bench.bench_run import STREAM

_PAGE = 10_000


class Entry(NamedTuple):
    """One entry of the gateway stream."""

    stream_id: str
    fields: dict[bytes, bytes]

    @property
    def at_ms(self) -> int:
        """Return when it was appended, in epoch ms."""
        return int(self.stream_id.partition("-")[0])

    @property
    def member(self) -> str:
        """Return the notification id and the route id."""
        return self.fields[b"event_id"].decode()

    @property
    def channel(self) -> str:
        """Return the channel of its route."""
        return self.member.partition("/")[2].partition(":")[0]


def read(client: redis.Redis, after: str = "", stream: str = STREAM) -> Iterator[Entry]:
    """Read what stands in the stream, behind the entry *after* if there is one."""
    while True:
        page: Any = client.xrange(stream, f"({after}" if after else "-", "+", _PAGE)
        for stream_id, fields in page:
            after = stream_id.decode()
            yield Entry(after, fields)
        if len(page) < _PAGE:
            return


def newest(client: redis.Redis, stream: str = STREAM) -> str:
    """Return the id of the newest entry; empty if there is none."""
    page: Any = client.xrevrange(stream, count=1)
    return page[0][0].decode() if page else ""


def check_each_once(client: redis.Redis, routes: int, after: str = "", shards: int = 1) -> None:
    """Raise if the streams do not have as many events as *routes*, each a different one."""
    found, members = 0, set()
    for shard in range(shards):
        for entry in read(client, after, f"{{gn:{shard}}}:client-events"):
            found += 1
            members.add(entry.member)
    if (found, len(members)) != (routes, routes):
        raise RuntimeError(f"{found} events of {len(members)} routes instead of {routes}")
