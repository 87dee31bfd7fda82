"""What clients may not ask of their own feeds: each is refused by name, and changes nothing."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.support.api import problem
from tests.support.own_feeds import MARKS, PATH, FeedGateways, OwnFeed
from tests.support.streams import connect, request
from tests.support.wait import wait_until


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=5&limit=5", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=" + "A" * 22, "cursor"),
        ("cursor=" + "_" * 22, "cursor"),
        ("cursor=0.0.0", "cursor"),
        ("cursor=%ff%fe", "cursor"),
        ("cursor=" + "A" * 30_000, "cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAA%3D%3D", "cursor"),
        ("unread=1", "unread"),
        ("unread=True", "unread"),
        ("archived=yes", "archived"),
        ("archived=true&archived=false", "archived"),
        ("type=%00", "type"),
        ("type=a%27%20OR%20true", "type"),
        ("type=" + "a" * 300, "type"),
        ("&".join(["type=a"] * 21), "type"),
        ("severity=INFO", "severity"),
        ("severity=info&severity=info", "severity"),
        ("user=somebody", "user"),
        ("ticket=x", "ticket"),
        ("%00=1", "\\x00"),
    ],
)
def test_query__that_is_hostile_is_refused_by_name(own: OwnFeed, query: str, field: str) -> None:
    """Each is a problem that names the parameter, and none of them changes anything."""
    answer = own.client.get(f"{PATH}?{query}", headers=own.headers)
    if query == "cursor=" + "A" * 22:
        assert answer.json()["items"] == []  # before the oldest item there is nothing
        return
    found = problem(answer, 422, "invalid")
    assert [one["field"] for one in found["errors"]] == [field]


def test_cursor__of_another_user_leads_nowhere_else(
    feed_places: FeedGateways, own: OwnFeed
) -> None:
    """It is a place in time: behind it are one's own items, and none of the other user."""
    (before,) = feed_places.publish(own.user)
    stranger = f"not-{own.user}"
    feed_places.publish(stranger, 2)
    feed_places.publish(own.user)
    with feed_places.own(stranger) as other:
        theirs = other.page(limit=1)["next"]
    assert theirs is not None
    assert [item["notification_id"] for item in own.items(cursor=theirs)] == [before]


def test_query__of_many_parameters_is_refused(own: OwnFeed) -> None:
    """Before any of them is looked at."""
    query = "&".join(["type=a"] * 40)
    problem(own.client.get(f"{PATH}?{query}", headers=own.headers), 400, "bad-request")
    for path in ("counts?limit=1", "read?all=true"):
        method = "POST" if path.startswith("read") else "GET"
        answer = own.client.request(
            method, f"{PATH}/{path}", headers=own.headers, json={"all": True}
        )
        problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"\xff", 400, ""),
        (b'{"all":NaN}', 400, ""),
        (b'{"all":true,"all":true}', 400, "all"),
        (b"[" * 100_000, 400, ""),
        (b"[]", 422, ""),
        (b"null", 422, ""),
        (b"{}", 422, "ids"),
        (b'{"all":true,"user":"u1"}', 422, "user"),
        (b'{"all":1}', 422, "all"),
        (b'{"all":true,"until":"x"}', 422, "until"),
        (b'{"ids":"x"}', 422, "ids"),
        (b'{"ids":["x"]}', 422, "ids[0]"),
        (b'{"ids":[null]}', 422, "ids[0]"),
        (b'{"ids":["\\u0000"]}', 422, "ids[0]"),
        (b'{"ids":["\\ud800"]}', 422, "ids[0]"),
        (b'{"ids":[-1]}', 422, "ids[0]"),
        (b'{"ids":[%s]}' % (b"9" * 300), 400, ""),
        (b'{"ids":[%s]}' % (b"9" * 200), 422, "ids[0]"),
        (b'{"ids":[%s]}' % b",".join([b"1"] * 501), 422, "ids"),
        (b'{"ids":[%s]}' % b",".join([b"1"] * 5000), 413, ""),
        (b'{"ids":["%s"]}' % (b"a" * 200_000), 413, ""),
    ],
)
def test_body__that_is_hostile_is_refused(
    feed_places: FeedGateways, own: OwnFeed, body: bytes, status: int, field: str
) -> None:
    """Each is a problem that says what is wrong; nothing is marked."""
    feed_places.publish(own.user)
    for mark in MARKS:
        headers = {**own.headers, "Content-Type": "application/json"}
        answer = own.client.post(f"{PATH}/{mark}", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        errors = answer.json()["errors"]
        assert [one["field"] for one in errors] == [field]
    assert own.counts()["unread"] == own.counts()["unseen"] == 1


def test_body__must_be_plain_json(own: OwnFeed) -> None:
    """A page of another origin can send a form or a text without asking before, but no JSON."""
    for more in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        answer = own.client.post(
            f"{PATH}/read", content=b'{"all":true}', headers=own.headers | more
        )
        problem(answer, 415, "unsupported-media-type")


def test_pages__that_nobody_reads_are_few(feed_places: FeedGateways, own: OwnFeed) -> None:
    """Large ones: each is in memory until its client has read it. Others are not affected."""
    # Escaped, it is more than the system takes for a client that reads nothing.
    feed_places.publish(own.user, 12, body="\x01" * 100_000)
    asked = request(PATH, Authorization=own.headers["Authorization"])
    with ExitStack() as stack:
        for _ in range(8):
            peer = connect(feed_places.gateways[0].url, receive_bytes=4096)
            stack.callback(peer.close)
            peer.sendall(asked)
            assert peer.recv(12) == b"HTTP/1.1 200"
        problem(own.get(), 503, "busy")
        assert own.counts()["unread"] == 12
        assert own.page(unread="true", type="other")["items"] == []
    wait_until(lambda: own.get().is_success, "pages of clients that have left count no more")
    assert len(own.page()["items"]) == 11
    assert own.client.head(PATH, headers=own.headers).content == b""


def test_path__takes_its_methods_alone(own: OwnFeed) -> None:
    """Whoever else asks reads which they are; what is not there is not found."""
    for path, allowed in (
        (PATH, "GET, HEAD, OPTIONS"),
        (f"{PATH}/counts", "GET, HEAD, OPTIONS"),
        *((f"{PATH}/{mark}", "POST, OPTIONS") for mark in MARKS),
    ):
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - {*allowed.split(", ")}:
            answer = own.client.request(method, path, headers=own.headers)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    for path in ("/", "/Read", "/retract", "//read", f"/{own.user}"):
        for method in ("GET", "POST"):
            answer = own.client.request(method, PATH + path, headers=own.headers)
            problem(answer, 404, "not-found")
