"""The feed as Redis sees it: what waits for Postgres, what it refused, and who writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.flows import unwrap_or
from galaxy_notify.redis_client.replies import moment, pairs, text
from galaxy_notify.redis_inspect.gateways import read_delays
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.deployment import Deployment, read_all, try_all
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group_report import least_lag, order_of
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.unread import mark_query, read_mark

#: A writer reports to each shard every few seconds.
WRITER_SILENT_MS: Final = 15_000
_MOST_WRITERS: Final = 1000
#: Parked entries that are read to count those of the feed, and about how many bytes of a shard.
_MOST_PARKED: Final = 5_000
_PARKED_BYTES: Final = 4 << 20
#: An entry may be large, so a page has few until their size is known.
_FIRST_PAGE: Final = 16
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class FeedWriter:
    """A writer of the feed and when it last reported, in epoch ms by the server's clock."""

    id: str
    progress_ms: int


@dataclass(frozen=True, slots=True)
class FeedState:
    """What waits for the feed of a deployment.

    *lag* counts events of the gateway streams that are not in the feed yet, at least; *backlog*
    those that were moved out of the streams, *fullest* of them in one shard; *parked* those that
    Postgres refused. The oldest event that waits is *oldest_ms* old. Of the *writers*, which are
    all that did not end in order, *alive* have reported lately; on *unattended* shards none has.
    The settings of who looks have a feed if it *is_expected*.
    """

    lag: int
    backlog: int
    parked: int
    fullest: int = 0
    oldest_ms: int = 0
    unattended: int = 0
    alive: int = 0
    is_expected: bool = False
    writers: Sequence[FeedWriter] = ()

    @property
    def waiting(self) -> int:
        """Return how many events are not in the feed yet."""
        return self.lag + self.backlog

    def as_json(self) -> dict[str, object]:
        """Return what ``status --json`` has under ``feed``."""
        return {
            "lag": self.lag,
            "backlog": self.backlog,
            "parked": self.parked,
            "oldest_s": self.oldest_ms / 1000,
            "writers": [{"id": one.id, "progress_ms": one.progress_ms} for one in self.writers],
        }


def read_feed(
    deployment: Deployment, streams: Sequence[StreamReport], now_ms: int, *, is_expected: bool
) -> FeedState | None:
    """Return how the feed stands, None for a deployment that has none; raise `RedisFault`.

    It has one where it *is_expected* by the settings, where its group is in a stream, or where
    events wait in a backlog.
    """
    shards = [_Shard(keys) for keys in deployment.all_keys]
    replies = iter(try_all(deployment, (word for shard in shards for word in shard.reads())))
    for shard in shards:
        shard.take([next(replies) for _ in shard.reads()], now_ms)
    has_group = any(FEED_GROUP in stream.groups for stream in streams)
    if not (is_expected or has_group or any(shard.backlog for shard in shards)):
        return None
    latest: dict[str, int] = {}
    for shard in shards:
        for name, at_ms in shard.writers:
            latest[name] = max(at_ms, latest.get(name, 0))
    delays = read_delays(deployment, streams, now_ms, FEED_GROUP).values()
    silent_ms = now_ms - WRITER_SILENT_MS
    backlog_ms = (now_ms - shard.oldest_ms for shard in shards if shard.oldest_ms)
    return FeedState(
        lag=sum(map(_lag, streams)),
        backlog=sum(shard.backlog for shard in shards),
        parked=sum(_parked(deployment, shard.keys) for shard in shards),
        fullest=max(shard.backlog for shard in shards),
        oldest_ms=max([0, *delays, *backlog_ms]),
        unattended=sum(shard.latest_ms <= silent_ms for shard in shards),
        alive=sum(at_ms > silent_ms for at_ms in latest.values()),
        is_expected=is_expected,
        writers=[FeedWriter(name, at_ms) for name, at_ms in sorted(latest.items())],
    )


def read_mark_of(deployment: Deployment, user: str) -> Counts | None:
    """Return the counts that Redis remembers of a user's feed; raise `RedisFault`.

    None where it has no mark of the user, or none that can be read.
    """
    keys = deployment.key_space.keys_of_user(user)
    (reply,) = try_all(deployment, [mark_query(keys, user).command])
    found = unwrap_or(reply, None)
    return None if found is None else read_mark(found)


def _lag(stream: StreamReport) -> int:
    group = stream.groups.get(FEED_GROUP)
    # A group that is made later begins at the first entry.
    return stream.length if group is None else least_lag(group) + group["pending"]


class _Shard:
    """What one shard holds of the feed; a key of another type counts as empty."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.backlog = 0
        #: When the event at the head of the backlog was published.
        self.oldest_ms = 0
        self.writers: list[tuple[str, int]] = []

    @property
    def latest_ms(self) -> int:
        """Return when a writer reported last; 0 for never."""
        return max((at_ms for _, at_ms in self.writers), default=0)

    def reads(self) -> list[list[Any]]:
        """Return the commands that read it."""
        return [
            ["XLEN", self.keys.feed_backlog],
            ["XRANGE", self.keys.feed_backlog, "-", "+", "COUNT", 1],
            ["ZRANGE", self.keys.feed_writers, 0, _MOST_WRITERS - 1, "REV", "WITHSCORES"],
        ]

    def take(self, replies: Sequence[Any], now_ms: int) -> None:
        """Take the replies to the commands."""
        self.backlog = unwrap_or(replies[0], 0)
        for _, fields in unwrap_or(replies[1], []):
            moved = text(pairs(fields).get(b"stream_id", b"0-0"))
            self.oldest_ms = order_of(moved)[0]
        reports = [(text(name), moment(score)) for name, score in unwrap_or(replies[2], [])]
        # Before the clock was set back a writer reported in the future; that says nothing.
        self.writers = [one for one in reports if one[1] < now_ms + WRITER_SILENT_MS]


def _parked(deployment: Deployment, keys: Keys) -> int:
    """Return how many parked entries are of the feed's group; a lower bound where they are many."""
    (length,) = try_all(deployment, [["XLEN", keys.parked]])
    if not unwrap_or(length, 0):
        return 0
    found, read, size, after, page = 0, 0, 0, "-", _FIRST_PAGE
    while read < _MOST_PARKED and size < _PARKED_BYTES:
        (rows,) = read_all(deployment, [["XRANGE", keys.parked, after, "+", "COUNT", page]])
        found += sum(_is_of_feed(fields) for _, fields in rows)
        if len(rows) < page:
            break
        read, after = read + page, f"({text(rows[-1][0])}"
        page_size = max(1, sum(map(_size, (fields for _, fields in rows))))
        size += page_size
        page = min(_PAGE, max(1, len(rows) * (_PARKED_BYTES // 8) // page_size))
    return found


def _is_of_feed(fields: Iterable[bytes]) -> bool:
    return bool(pairs(fields).get(b"group") == FEED_GROUP.encode())


def _size(fields: Iterable[bytes]) -> int:
    return sum(map(len, fields))
