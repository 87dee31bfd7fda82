"""All that a shard holds, to compare before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.scripts.support.shard import Shard


def snapshot(shard: Shard, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the content of every key of the shard, and whether it expires.

    An empty stream counts as none: it is what an undone event leaves behind.
    """
    client = shard.client
    readers: dict[bytes, Callable[[str], Any]] = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"stream": client.xrange,
        b"string": client.get,
    }
    found = {}
    names: Any = client.scan_iter(match=_literal(shard.keys.tag) + "*", count=1000)
    for name in sorted(key.decode() for key in names):
        kind: Any = client.type(name)
        content = readers[kind](name)
        if content and name not in without:
            found[name] = (content, client.pttl(name) != -1)
    return found


def _literal(tag: str) -> str:
    return "".join(f"\\{char}" if char in "[]*?\\" else char for char in tag)
