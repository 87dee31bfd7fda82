"""Events to many connections: what is taken apart, and that our side answers each question."""

from __future__ import annotations

import pytest

from tests.bench.gateways import trials
from tests.bench.gateways.badges import BadgeClient
from tests.bench.gateways.crowd_process import CrowdProcess, Plan
from tests.bench.gateways.events import Numbers, adapter_entry, gateway_entry, user_of
from tests.bench.gateways.frames import (
    MARK,
    Received,
    events_in,
    frame,
    last_cursor,
    offsets_in,
    session_in,
    whole_answer,
    whole_frames,
    whole_sse,
)
from tests.bench.gateways.sides import Gateways, WebSockets
from tests.bench.gateways.trials import Layout
from tests.support.servers import main_server, running

_SSE = b'event: notification\nid: e.7.abcd\ndata: {"data":{"turn":3,"at_us":40},"offset":7}\n\n'


def test_numbers__give_each_event_to_one_user() -> None:
    """The users' shares are all of them, also where they do not begin with the first user."""
    numbers = Numbers(7, 20, 6)
    shares = [number for user in range(6) for number in numbers.of_user(user)]
    assert sorted(shares) == list(numbers)
    assert {user_of(number, 6) for number in numbers.of_user(4)} == {"user-4"}


def test_plan__spreads_the_clients_of_a_user() -> None:
    """A user with several connections has them on all processes."""
    plan = Plan("sse", [1, 2], 12, 3)
    ports = [[plan.port(n) for n in range(user, 12, 3)] for user in range(3)]
    assert all(sorted(own) == [1, 1, 2, 2] for own in ports)
    assert {Plan("sse", [1, 2], 12, 12, spread=False).port(n) for n in range(12)} == {1}


def test_whole_sse__ends_with_an_empty_line() -> None:
    """A message that is cut waits for its rest."""
    assert whole_sse(_SSE + _SSE[:9]) == len(_SSE)
    assert whole_sse(_SSE[:-1]) == 0


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, b"\x00"),
        (125, b"\x7d"),
        (126, b"\x7e\x00\x7e"),
        (65_535, b"\x7e\xff\xff"),
        (65_536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_whole_frames__end_where_their_head_says(size: int, length: bytes) -> None:
    """Each of the three forms of a length, and a head that is cut."""
    whole = b"\x81" + length + bytes(size)
    assert whole_frames(whole + whole[:1]) == len(whole)
    assert {whole_frames(whole[:cut]) for cut in range(len(length) + 1)} == {0}


def test_frame__is_masked_and_short() -> None:
    """A server refuses frames of clients without a mask."""
    assert frame("3") == b"\x81\x81\x00\x00\x00\x003"
    with pytest.raises(ValueError, match="too long"):
        frame("x" * 126)


def test_events__are_found_with_their_offsets() -> None:
    """One mark for each event; the last cursor is what a client goes on behind."""
    assert list(events_in(100, _SSE * 2)) == [Received(3, 60)] * 2
    assert (_SSE.count(MARK), offsets_in(_SSE), last_cursor(_SSE)) == (1, [7], "e.7.abcd")
    assert last_cursor(b"retry: 5\n\n") == ""


def test_last_cursor__is_found_in_each_protocol() -> None:
    """Ours as server-sent and over a WebSocket, and what Socket.IO adds to an event."""
    ours = b'{"event":"notification","id":"e.8.abcd","data":{"data":{"turn":3}}}'
    theirs = b'42["notification",{"data":{"turn":3}},"1700-0"]'
    assert (last_cursor(_SSE + ours), last_cursor(theirs * 2)) == ("e.8.abcd", "1700-0")


def test_session__is_there_where_it_can_be_recovered() -> None:
    """Without recovery Socket.IO names the connection only."""
    assert session_in(b'40{"sid":"a","pid":"b"}') == "b"
    assert session_in(b'40{"sid":"a"}') == ""


def test_whole_answer__begins_with_its_head() -> None:
    """The answer to a handshake and a frame come together, or in pieces."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    assert whole_answer(answer[:-1]) == 0
    assert whole_answer(answer + frame("")[:1]) == len(answer)
    assert whole_answer(b"\x81\x012" * 2) == 6


def test_badge__has_an_event_when_it_is_counted() -> None:
    """Before or after it comes; what was unread at the beginning is none of them."""
    crowd = CrowdProcess(Plan("badge", [1], 1, 1))
    client = BadgeClient(crowd, 0)
    counts = 'event: counts\ndata: {"unread":%d,"unseen":0}\n\n'
    client.take(10, b'event: hello\nid: e.6.abcd\ndata: {"counts":null}\n\n')
    ready = [client.is_ready]
    client.take(20, (counts % 5).encode())
    assert [*ready, client.is_ready] == [False, True]
    client.take(30, (counts % 6).encode())
    client.take(50, _SSE * 2)
    client.take(60, (counts % 7).encode())
    assert [one for at, data in client.chunks for one in events_in(at, data)] == [
        Received(3, -10),
        Received(3, 20),
    ]
    assert crowd.received == 2


def test_entries__carry_the_same_event() -> None:
    """Both sides are given the number and the time in the same form."""
    ours, theirs = gateway_entry(5, 3), adapter_entry(5, 3)
    assert ours.fields["user_id"] == "user-2"
    assert '"rooms":["user-2"]' in theirs.fields["data"]
    assert [r.number for r in events_in(0, theirs.fields["data"].encode())] == [5]


def test_trials__of_our_side_deliver_each_event_once() -> None:
    """A backlog, a storm, losses and the sizes of lists, each as small as can be."""
    side = Gateways()
    with running(main_server(), tcp=True) as server:
        (speed,) = trials.full_speed(side, server, Layout(2, 8, 4), [40])
        assert (speed.events > 0, round(speed.frames / speed.events)) == (True, 2)
        assert trials.storm(side, server, 10, 10).resets == 0
        assert trials.resumed(WebSockets(), server, 4) == (100, 100)
        one, two = trials.history_bytes(side, server, (1, 2)).values()
        assert 0 < one < two
