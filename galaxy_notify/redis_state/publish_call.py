"""Arguments and reply of the script that publishes due routes in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import due_time, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import ClaimLimits
from galaxy_notify.redis_state.words import Word


class PublishTerms(NamedTuple):
    """What a published route ends with; *keeps* are in ms, without and with an idempotency key."""

    payload_bytes: int
    #: The last line of its history, as msgpack.
    line: bytes
    keeps: tuple[int, int]
    #: Type → times in ms, for the types that have their own.
    keeps_of_types: Mapping[str, tuple[int, int]]


class Published(NamedTuple):
    """The reply of the script; *word* is ``published``, or why nothing was.

    *next_due_ms* is set only if nothing was due. *left* due members must be claimed before the next
    call: the script would find them again.
    """

    word: str
    now_ms: int
    next_due_ms: int | None = None
    stream_length: int = 0
    left: int = 0
    routes: int = 0
    #: Types and due times in epoch ms, each with a number of routes; the same one may come twice.
    types: Sequence[tuple[str, int]] = ()
    dues: Sequence[tuple[int, int]] = ()
    traceparents: Sequence[str] = ()


def route_publish(
    keys: Keys, channel: str, limits: ClaimLimits, terms: PublishTerms, now: int | None
) -> ScriptCall:
    """Publish due routes of *channel* that need no lease."""
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel), keys.paused]
    names += [keys.stream, keys.totals, keys.wake(channel), keys.never]
    args: list[Argument] = [
        keys.tag,
        time_argument(now),
        channel,
        limits.members,
        limits.bytes,
        limits.record_bytes,
        terms.payload_bytes,
        limits.hold_at,
        terms.line,
        *terms.keeps,
    ]
    for kind, keeps in terms.keeps_of_types.items():
        args += (kind, *keeps)
    return ScriptCall(script("route_publish"), names, args)


@reader
def read_published(reply: Sequence[Any]) -> Published:
    """Read the reply ``[word, now_ms, detail, left, length, routes, types, dues, parents]``.

    *detail* is the next due time for ``idle``, and the length of the stream for ``held``.
    """
    word, now_ms, detail, left = text(reply[0]), int(reply[1]), reply[2], int(reply[3])
    if word == Word.IDLE:
        return Published(word, now_ms, next_due_ms=due_time(detail))
    if word != Word.PUBLISHED:
        return Published(word, now_ms, stream_length=int(detail or 0))
    length, routes, types, dues, parents = reply[4:]
    return Published(
        word,
        now_ms,
        stream_length=int(length),
        left=left,
        routes=int(routes),
        types=[(text(kind), int(count)) for kind, count in _pairs(types)],
        dues=[(int(due), int(count)) for due, count in _pairs(dues)],
        traceparents=[text(parent) for parent in parents],
    )


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    values = iter(flat)
    return list(zip(values, values, strict=True))
