"""The call of the script that publishes: its arguments, and what its reply says."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault, as_fault
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import ClaimLimits
from galaxy_notify.redis_state.publish_call import (
    Published,
    PublishTerms,
    read_published,
    route_publish,
)

KEYS = Keys("gn", 3)
LIMITS = ClaimLimits(members=64, ttl_ms=30_000, bytes=4_000, record_bytes=900, hold_at=7)
TERMS = PublishTerms(800, b"\x96line", (10, 20), {"chat": (30, 40), "alarm": (50, 60)})


def test_call__has_the_arguments_of_the_header() -> None:
    """Keys of one shard, the guard last; arguments in the order in which the script reads them."""
    call = route_publish(KEYS, "push", LIMITS, TERMS, 1_234)
    names = ("schedule:push", "leases:push", "abandoned:push", "paused", "client-events", "totals")
    assert call.script.name == "route_publish"
    assert call.keys == [f"{{gn:3}}:{name}" for name in (*names, "wake:push", "never")]
    assert call.args == [
        *("{gn:3}:", 1_234, "push", 64, 4_000, 900, 800, 7, b"\x96line", 10, 20),
        *("chat", 30, 40, "alarm", 50, 60),
    ]


def test_call__takes_the_clock_of_redis() -> None:
    """Without a time the server's own is asked for; the stream may have a name of its own."""
    keys = Keys("gn", 0, "events")
    call = route_publish(keys, "push", LIMITS, TERMS, None)
    assert call.args[1] == ""
    assert call.keys[4] == keys.stream


def test_reply__of_routes() -> None:
    """Numbers of types and due times, which may come twice, and traces."""
    reply = [
        *(b"published", 99, b"", 2, 17, 5),
        *([b"turn", 3, b"chat", 1, b"turn", 1], [b"1900000000000", 5], [b"00-a", b"00-b"]),
    ]
    assert read_published(reply) == Published(
        word="published",
        now_ms=99,
        stream_length=17,
        left=2,
        routes=5,
        types=[("turn", 3), ("chat", 1), ("turn", 1)],
        dues=[(1_900_000_000_000, 5)],
        traceparents=["00-a", "00-b"],
    )


@pytest.mark.parametrize(
    ("reply", "published"),
    [
        ([b"idle", 99, b"", 0], Published("idle", 99)),
        ([b"idle", 99, b"1900000000000", 0], Published("idle", 99, 1_900_000_000_000)),
        ([b"idle", 99, b"1900000000000.25", 0], Published("idle", 99, 1_900_000_000_001)),
        ([b"paused", 99, b"", 0], Published("paused", 99)),
        ([b"held", 99, 12, 0], Published("held", 99, stream_length=12)),
        (
            [b"published", 99, b"", 128, 4, 0, [], [], []],
            Published("published", 99, None, 4, 128, 0, [], [], []),
        ),
    ],
)
def test_reply__that_nothing_was_published(reply: list[Any], published: Published) -> None:
    """Each word has its detail: the next due time, the length of the stream, the rest to claim."""
    assert read_published(reply) == published


@pytest.mark.parametrize(
    "reply",
    [
        *(None, [], [b"published"], [b"published", 1, b"", 0], [b"idle", b"x", b"", 0]),
        [b"published", 1, b"", 0, 4, 1, [b"turn"], [], []],
        [b"published", 1, b"", 0, 4, 1, [], [b"soon", 1], []],
        [b"published", 1, b"", 0, 4, 1, [], [], [], []],
    ],
)
def test_reply__of_another_shape_is_a_fault(reply: Any) -> None:
    """The outcome is then unknown, as after a lost reply."""
    with pytest.raises(RedisFault) as caught, as_fault("route_publish"):
        read_published(reply)
    assert caught.value.fault.code == UNREADABLE
