"""States of external channels: addresses done, and the format that earlier versions leave alone."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.route import Failure, Route, Status, decode_route, newer_state

FAILURE = Failure("endpoint_down", "no answer")
ROUTE = Route(Status.PENDING, due_at_ms=2_000_000_000_000, at_ms=1_900_000_000_000)
PARTLY = ROUTE._replace(status=Status.FAILED, attempts=1, done=("c-1",))


def test_failed__adds_the_addresses_that_are_done() -> None:
    """Each address is there once, whichever attempt reached it."""
    once = decode_route(ROUTE.failed("w", FAILURE, ["c-2", "c-1"]))
    assert (once.status, once.attempts, once.done) == (Status.FAILED, 1, ("c-1", "c-2"))
    twice = decode_route(once.failed("w", FAILURE, ["c-2", "c-3"]))
    assert twice.done == ("c-1", "c-2", "c-3")


@pytest.mark.parametrize(
    ("write", "head", "done"),
    [
        (lambda route: route.failed("w", FAILURE), b"2f", ("c-1",)),
        (lambda route: route.dead_lettered("w", FAILURE, attempt=True), b"2d", ("c-1",)),
        (lambda route: route.replayed("ann"), b"2p", ("c-1",)),
        (lambda route: route.rescheduled("ann"), b"2f", ("c-1",)),
        (lambda route: route.delivered("w"), b"2D", ()),
        (lambda route: route.skipped("w", "read"), b"1s", ()),
        (lambda route: route.expired("w"), b"1e", ()),
        (lambda route: route.cancelled("ann"), b"1c", ()),
        (lambda route: route.purged("ann"), b"1x", ()),
    ],
)
def test_done__is_kept_while_it_may_be_sent(
    write: Callable[[Route], bytes], head: bytes, done: tuple[str, ...]
) -> None:
    """No attempt of any generation sends to an address twice; what has ended needs none of it."""
    state = write(PARTLY)
    assert state[:2] == head
    assert decode_route(state).done == done


def test_delivered__has_its_attempt_and_a_note() -> None:
    """The last line of the history says who sent it, in which attempt, and to how many."""
    route = decode_route(PARTLY.delivered("w", "2 of 3 addresses"))
    line = route.history[-1]
    assert (route.status, line.event, line.worker) == (Status.DELIVERED, "delivered", "w")
    assert (line.attempt, line.message) == (2, "2 of 3 addresses")


def test_skipped__has_its_reason() -> None:
    """The reason stands where that of a rule stands."""
    line = decode_route(ROUTE.skipped("w", "read")).history[-1]
    assert (line.event, line.worker, line.failure_class) == ("skipped", "w", "read")


def _state(head: bytes, body: object) -> bytes:
    packed: bytes = msgpack.packb(body)
    return head + b"0" * 26 + packed


@pytest.mark.parametrize(
    "state",
    [
        _state(b"1D", [1, 0, 0, []]),
        _state(b"1p", [1, 0, 0, [], []]),
        _state(b"2p", [1, 0, 0, []]),
        _state(b"2D", [1, 0, 0, [], [1]]),
        _state(b"2D", [1, 0, 0, [], "c-1"]),
        _state(b"2D", [1, 0, 0, [], [], []]),
        b"2D" + b"0" * 26,
        _state(b"3p", [1, 0, 0, []]),
    ],
)
def test_format__has_its_own_body(state: bytes) -> None:
    """A status or a body of the other format is corrupt."""
    with pytest.raises(Corrupt):
        decode_route(state)


def test_newer__is_what_neither_format_is() -> None:
    """Format 2 is known here; what begins with 3 is another version's."""
    assert [newer_state(raw) for raw in (b"1p", b"2D", b"3p", b"x", b"")] == [
        *(False, False, True, False, False)
    ]
