"""Arguments and replies of the scripts that keep the feed's group out of the way of trimming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys

#: The consumer group of all writers of the feed.
FEED_GROUP: Final = "feed"
#: A shard has no living writer where none has reported for this long.
WRITER_GONE_MS: Final = 60_000
#: A writer that reports no more is remembered for this long.
_WRITER_KEPT_MS: Final = 3_600_000
#: Entries of one call, which then takes a few milliseconds at most.
_MOVED_AT_ONCE: Final = 128
_COUNTED_AT_ONCE: Final = 500
_BYTES_AT_ONCE: Final = 1 << 20


class Attended(NamedTuple):
    """How the group of the feed stands on a shard.

    *backlog* is the length of the backlog; *writer_ms* when a writer reported last, by the server's
    clock, as is *now_ms*. *position* is the oldest entry that the group still has, or the last it
    was given; None without a group. *counted* entries from there on, or behind those counted before
    where it *goes_on*, end with *last*; *more* may follow.
    """

    now_ms: int
    backlog: int
    writer_ms: int | None
    position: str | None
    goes_on: bool
    counted: int
    last: str
    more: bool

    @property
    def has_living_writer(self) -> bool:
        """Return whether a writer has reported lately."""
        return self.writer_ms is not None and self.now_ms - self.writer_ms < WRITER_GONE_MS


class Moved(NamedTuple):
    """What one call moved: the answer of the script, how many entries, the backlog's new length."""

    word: str
    entries: int
    backlog: int


def feed_attend(keys: Keys, writer: str, counted: str, now: int | None = None) -> ScriptCall:
    """Report a *writer* unless it is empty, and count entries behind the one *counted* last."""
    own = [keys.stream, keys.feed_backlog, keys.feed_writers, keys.never]
    args: list[Argument] = [
        *(FEED_GROUP, "" if now is None else now, writer, _WRITER_KEPT_MS, counted),
        *(_COUNTED_AT_ONCE, _BYTES_AT_ONCE),
    ]
    return ScriptCall(script("feed_attend"), own, args)


@reader
def read_attended(reply: Sequence[Any]) -> Attended:
    """Return what a reply of `feed_attend` says."""
    now, backlog, writer, position, goes_on, counted, last, more = reply
    return Attended(
        now_ms=int(now),
        backlog=int(backlog),
        writer_ms=int(writer) if writer else None,
        position=position.decode() or None,
        goes_on=bool(goes_on),
        counted=int(counted),
        last=last.decode(),
        more=bool(more),
    )


class MoveLimits(NamedTuple):
    """Entries of the backlog at most; with *alone_ms*, no writer has reported for this long."""

    backlog_max: int
    alone_ms: int | None = None
    most: int = _MOVED_AT_ONCE


def feed_move(keys: Keys, consumer: str, limits: MoveLimits, now: int | None = None) -> ScriptCall:
    """Move the oldest entries that the group still has to the backlog."""
    own = [keys.stream, keys.feed_backlog, keys.feed_writers, keys.never]
    args: list[Argument] = [
        *(FEED_GROUP, consumer, "" if now is None else now),
        "" if limits.alone_ms is None else limits.alone_ms,
        *(limits.backlog_max, limits.most, _BYTES_AT_ONCE),
    ]
    return ScriptCall(script("feed_move"), own, args)


@reader
def read_moved(reply: Sequence[Any]) -> Moved:
    """Return what a reply of `feed_move` says."""
    word, entries, backlog = reply
    return Moved(word.decode(), int(entries), int(backlog))


def feed_ack(keys: Keys, stream_ids: Sequence[str]) -> ScriptCall:
    """Acknowledge and delete entries of the backlog."""
    return ScriptCall(
        script("feed_ack"), [keys.feed_backlog, keys.never], [FEED_GROUP, *stream_ids]
    )
