"""What is kept after publishing, drawn from the keys of each primary, and what memory it has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import number, text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.node_report import Node, nodes_of
from galaxy_notify.redis_inspect.reading import Words
from galaxy_notify.redis_inspect.samples import Sample, read_samples
from galaxy_notify.redis_state.deployment import Deployment

_KEYS: Final = 300
_FEWEST: Final = 30
_MOST_PAGES: Final = 8


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of a primary; None for what this user may not ask.

    *limit* is ``maxmemory``, or where none is set the memory of the host, if that is known.
    """

    kept: int | None
    used: int | None
    limit: int | None
    is_limit_set: bool
    samples: tuple[Sample, ...]


def read_keyspaces(deployment: Deployment) -> list[Keyspace]:
    """Look at each primary; raise `RedisFault` where one is away."""
    nodes = nodes_of(deployment)
    pattern = re.compile(rf"\{{{re.escape(deployment.key_space.prefix)}:\d+\}}:notification:")
    return [_read(node, pattern, max(_FEWEST, _KEYS // len(nodes))) for node in nodes]


def _read(node: Node, pattern: re.Pattern[str], wanted: int) -> Keyspace:
    keyspace, memory = _ask(node, [["INFO", "keyspace"], ["INFO", "memory"]])
    if isinstance(keyspace, RedisFault) or isinstance(memory, RedisFault):
        return Keyspace(None, None, None, False, ())
    limit, host = number(memory.get("maxmemory")), number(memory.get("total_system_memory"))
    seen = _first_keys(node, wanted)
    found = _ours(node, seen or (), pattern)
    kept = None
    if seen is not None:
        # Each key that was seen stands for as many as there are beside it.
        size = sum(sample.size for sample in found if sample.is_kept)
        kept = round(size * _number_of_keys(node, keyspace) / max(1, len(seen)))
    used = number(memory.get("used_memory"))
    return Keyspace(kept, used, limit or host or None, bool(limit), tuple(found))


def _first_keys(node: Node, wanted: int) -> list[str] | None:
    """Return the first keys by their hash, about so many; None without the right."""
    found: dict[str, None] = {}
    cursor: Any = 0
    for _ in range(_MOST_PAGES):
        (reply,) = _ask(node, [["SCAN", cursor, "COUNT", wanted]])
        if isinstance(reply, RedisFault):
            return None
        cursor, names = reply
        found |= dict.fromkeys(map(text, names))
        if not int(cursor) or len(found) >= wanted:
            break
    return list(found)


def _ours(node: Node, names: Sequence[str], pattern: re.Pattern[str]) -> list[Sample]:
    ours = [name for name in names if pattern.match(name)]
    samples = read_samples(partial(_ask, node), ours)
    return [sample for sample in samples if sample is not None]


def _ask(node: Node, commands: Iterable[Words]) -> list[Any]:
    sent = [Command(list(command)) for command in commands]
    return run_all_sync(node.client, sent) if sent else []


def _number_of_keys(node: Node, keyspace: Mapping[str, Any]) -> int:
    database = node.client.connection_pool.connection_kwargs.get("db") or 0
    return number(keyspace.get(f"db{database}", {}).get("keys"))
