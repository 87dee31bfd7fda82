"""The feeds of users over HTTP: listed, and published in directly, by those who may."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from galaxy_notify.feed import Feed
from galaxy_notify.model.ids import id_for_key
from tests.support.api import ApiProcess, api_on, clients_of, entry, fields, problem
from tests.support.direct_feeds import items
from tests.support.documents import runnable
from tests.support.gateways import gateway_on
from tests.support.postgres import Postgres
from tests.support.requirements import requires_program
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

FEED = "/v1/users/u1/feed"
TURN: dict[str, Any] = {"type": "game.turn", "producer": "lobby"}
KEY = "Idempotency-Key"
MOST = 5
Clients = dict[str, httpx.Client]


@pytest.fixture
def process(server: Server, feed_database: Postgres) -> Iterator[ApiProcess]:
    """Start an API with a feed; `shop` is bound to lobby, `ann` to nothing, `grafana` reads."""
    tokens = [
        f"{entry('shop', 'producer+read-only')}:producer=lobby",
        entry("ann", "producer"),
        entry("grafana", "read-only"),
    ]
    own = {"http__tokens": tokens, "http__max_batch": MOST}
    with api_on(server, feed__url=feed_database.url, **own) as api:
        yield api


@pytest.fixture
def clients(process: ApiProcess) -> Iterator[Clients]:
    """Give a client of each kind."""
    with clients_of(process, "shop", "ann", "grafana") as opened:
        yield opened


@pytest.fixture
def feed(process: ApiProcess, server: Server, feed_database: Postgres) -> Iterator[Feed]:
    """Give the feed, to look at and to publish in."""
    with Feed.from_url(feed_database.url, redis=server.url) as opened:
        yield opened


def test_publish__is_in_the_list(clients: Clients) -> None:
    """With all that was published, and with the counts."""
    told = {"title": "Your turn", "body": "ü", "severity": "notice", "data": {"turn": [12, None]}}
    made = clients["ann"].post(FEED, json=TURN | told)
    assert (made.status_code, made.json()["status"]) == (201, "published")
    found = clients["grafana"].get(FEED)
    assert found.headers["content-type"] == "application/json"
    document = found.json()
    (item,) = document["items"]
    assert item == item | TURN | told
    assert item["notification_id"] == made.json()["notification_id"]
    assert item["delivered_via"] == []
    assert item["read_at_ms"] is None
    assert document["next"] is None
    assert (document["counts"]["unread"], document["counts"]["unseen"]) == (1, 1)
    assert clients["grafana"].get("/v1/users/u2/feed").json()["items"] == []


def test_key__publishes_once(clients: Clients) -> None:
    """Again it is 200 and a duplicate; the header and the field are the same key."""
    ann = clients["ann"]
    first = ann.post(FEED, json=TURN, headers={KEY: "g3/turn-12"})
    again = ann.post(FEED, json=TURN | {"idempotency_key": "g3/turn-12", "title": "again"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["status"] == "duplicate"
    assert first.json()["notification_id"] == again.json()["notification_id"]
    assert ann.post("/v1/users/u2/feed", json=TURN, headers={KEY: "g3/turn-12"}).status_code == 201
    bad = ann.post(FEED, json=TURN | {"idempotency_key": "a"}, headers={KEY: "b"})
    assert fields(problem(bad, 400, "bad-request")) == [KEY]
    bad = ann.post(FEED, json=[TURN], headers={KEY: "b"})
    assert fields(problem(bad, 400, "bad-request")) == [KEY]


def test_list__has_a_receipt_for_each(clients: Clients, feed: Feed) -> None:
    """What is refused does not affect the others, and says which field is wrong."""
    keyed = TURN | {"idempotency_key": "k"}
    bad = [TURN | {"title": "a\0b"}, 7, TURN | {"user": "u2"}]
    done = clients["ann"].post(FEED, json=[keyed, *bad, keyed])
    told = done.json()
    assert (done.status_code, told["published"], told["duplicates"], told["refused"]) == (
        *(200, 1, 1),
        3,
    )
    wanted = ["published", "refused", "refused", "refused", "duplicate"]
    assert [one["status"] for one in told["receipts"]] == wanted
    assert [one["item"] for one in told["receipts"]] == [0, 1, 2, 3, 4]
    errors = [one["error"]["field"] for one in told["receipts"][1:4]]
    assert errors == ["title", "", "user"]
    assert [item.notification_id for item in items(feed, "u1")] == [id_for_key("lobby", "k")]
    assert items(feed, "u2") == []


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b"", 400, "bad-request", ""),
        (b"{", 400, "bad-request", ""),
        (b"7", 422, "invalid", ""),
        (b"[]", 422, "invalid", ""),
        (b"{}", 422, "invalid", "type"),
        (b'{"type":"t","producer":"p","user":"u2"}', 422, "invalid", "user"),
        (b'{"type":"t","producer":"p","user":7}', 422, "invalid", "user"),
        (b'{"type":"t","producer":"p","self":7}', 422, "invalid", "self"),
        (b'{"type":"t","producer":"p","recipients":["u"]}', 422, "invalid", "recipients"),
        (b'{"type":"t","producer":"p","title":"\\u0000"}', 422, "invalid", "title"),
        (b'{"type":"t","producer":"p","title":"\\ud800"}', 422, "invalid", "title"),
        (b'{"type":"t","producer":"p","data":[]}', 422, "invalid", "data"),
        (b'{"type":"t","producer":"p","notification_id":"x"}', 422, "invalid", "notification_id"),
        (b'{"type":"t","producer":"p","type":"t"}', 400, "bad-request", "type"),
        (b'{"type":"t","producer":"p","body":"%s"}' % (b"a" * 10**6), 413, "too-large", "body"),
        (b"[%s]" % b",".join([b"1"] * (MOST + 1)), 413, "too-large", ""),
    ],
)
def test_bad_body__names_the_field(
    clients: Clients, body: bytes, status: int, kind: str, field: str
) -> None:
    """One clear problem, and nothing is published."""
    headers = {"Content-Type": "application/json"}
    told = problem(clients["ann"].post(FEED, content=body, headers=headers), status, kind)
    assert fields(told) == [field]
    assert clients["grafana"].get(FEED).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1e1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=99999999999999999999999-1", "cursor"),
        ("unread=maybe", "unread"),
        ("type=%20", "type"),
        ("type=a%00", "type"),
        ("severity=loud", "severity"),
        ("archived=", "archived"),
        ("user=u2", "user"),
    ],
)
def test_bad_query__names_the_parameter(clients: Clients, query: str, field: str) -> None:
    """It is 422."""
    told = problem(clients["grafana"].get(f"{FEED}?{query}"), 422, "invalid")
    assert fields(told) == [field]


@pytest.mark.parametrize("user", ["%20", "a%00", "u" * 129, "%ED%A0%80", "-u", "u%0A"])
def test_bad_user__is_422(clients: Clients, user: str) -> None:
    """For both calls; a user who was never heard of has an empty feed."""
    path = f"/v1/users/{user}/feed"
    assert fields(problem(clients["grafana"].get(path), 422, "invalid")) == ["user"]
    assert fields(problem(clients["ann"].post(path, json=TURN), 422, "invalid")) == ["user"]


def test_pages__have_each_item_once(clients: Clients) -> None:
    """The filters are those of `Feed.list`, and a cursor goes with them."""
    ann, reader = clients["ann"], clients["grafana"]
    for number in range(4):
        kind = {"type": f"t{number % 2}", "severity": "critical" if number == 3 else "info"}
        assert ann.post(FEED, json=TURN | kind | {"data": {"n": number}}).status_code == 201
    first = reader.get(f"{FEED}?limit=3").json()
    rest = reader.get(FEED, params={"limit": 3, "cursor": first["next"]}).json()
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [3, 1, None]
    assert [item["data"]["n"] for item in first["items"] + rest["items"]] == [3, 2, 1, 0]
    for query, expected in (
        ("type=t0", [2, 0]),
        ("type=t0&type=t1", [3, 2, 1, 0]),
        ("severity=critical&unread=true", [3]),
        ("archived=true", []),
    ):
        page = reader.get(f"{FEED}?{query}").json()
        assert [item["data"]["n"] for item in page["items"]] == expected, query


def test_bound_client__publishes_in_its_own_name(clients: Clients, feed: Feed) -> None:
    """Not as another producer, nor under the id of another's key; whole feeds are not its own."""
    shop, other = clients["shop"], TURN | {"producer": "game"}
    assert fields(problem(shop.post(FEED, json=other), 403, "forbidden")) == ["producer"]
    theirs = TURN | {"notification_id": id_for_key("game", "k")}
    assert fields(problem(shop.post(FEED, json=theirs), 422, "invalid")) == ["notification_id"]
    told = shop.post(FEED, json=[other, theirs, TURN]).json()
    errors = [one["error"] and one["error"]["field"] for one in told["receipts"]]
    assert errors == ["producer", "notification_id", None]
    assert [item.producer for item in items(feed, "u1")] == ["lobby"]
    own = TURN | {"notification_id": told["receipts"][2]["notification_id"]}
    assert shop.post(FEED, json=own).json()["status"] == "duplicate"
    problem(shop.get(FEED), 403, "forbidden")
    problem(clients["grafana"].post(FEED, json=TURN), 403, "forbidden")
    assert clients["ann"].post(FEED, json=theirs | {"producer": "game"}).status_code == 201


def test_deployment_without_feed__is_404(api: httpx.Client) -> None:
    """Both calls say what is missing."""
    for done in (api.get(FEED), api.post(FEED, json=TURN)):
        assert "feed.url" in problem(done, 404, "not-found")["detail"]


def test_publish__reaches_open_streams(server: Server, feed_database: Postgres) -> None:
    """At a gateway, with the counts."""
    own: dict[str, Any] = {"feed__url": feed_database.url, "worker__shards": 2}
    with (
        # It founds the deployment, of two shards, which the API joins.
        gateway_on(server, **own) as gateway,
        api_on(server, **own) as process,
        process.client() as api,
        gateway.open("u1") as stream,
    ):
        stream.expect("hello")
        made = api.post(FEED, json=TURN | {"title": "Your turn"}).json()
        told: dict[str, Any] = {}
        while told.get("counts", {}).get("unread") != 1 or "notification" not in told:
            frame = stream.frame()
            told[frame.kind] = frame.data
        assert told["notification"]["notification_id"] == made["notification_id"]
        assert told["notification"]["title"] == "Your turn"


def test_redis_away__the_row_is_there(clients: Clients, feed: Feed, server: Server) -> None:
    """The announcement is left out; the call answers all the same."""
    server.pause()
    try:
        assert clients["ann"].post(FEED, json=TURN).status_code == 201
        assert clients["grafana"].get(FEED).json()["counts"]["unread"] == 1
    finally:
        server.resume()
    assert len(items(feed, "u1")) == 1


def test_postgres_away__is_503_with_the_id(
    process: ApiProcess, clients: Clients, feed: Feed, feed_database: Postgres
) -> None:
    """What is sent again under the id of the answer is published once, and nothing is lost."""
    ann = clients["ann"]
    assert ann.post(FEED, json=TURN).status_code == 201
    feed_database.kill()
    try:
        single = ann.post(FEED, json=TURN | {"title": "one"})
        many = ann.post(FEED, json=[TURN | {"title": "two"}, {}, TURN | {"title": "three"}])
        reading = clients["grafana"].get(FEED)
    finally:
        feed_database.start()
    for done in (single, many, reading):
        problem(done, 503, "unavailable")
        assert done.headers["retry-after"] == "2"
    process.wait_for("postgres unavailable")
    told = many.json()
    assert [one["item"] for one in told["receipts"]] == [1]
    assert [(one["item"], one["code"]) for one in told["errors"]] == [
        (0, "unknown"),
        (2, "unknown"),
    ]
    ids = [single.json()["notification_id"], *(one["notification_id"] for one in told["errors"])]
    for _ in range(2):
        for title, name in zip(("one", "two", "three"), ids, strict=True):
            again = TURN | {"title": title, "notification_id": name}
            answers = wait_until(partial(_published, ann, again), "it is published")
            assert answers["notification_id"] == name
    process.wait_for("postgres available again")
    # The server of the tests may lose what it committed before it was killed.
    titles = [item.title for item in items(feed, "u1")]
    assert [title for title in titles if title] == ["three", "two", "one"]


@requires_program("curl")
def test_docs__show_commands_that_work(server: Server, feed_database: Postgres) -> None:
    """Both examples answer with success: first it is published, then listed."""
    first, second = runnable("docs/http.md", "sh", "run feed")
    with api_on(server, feed__url=feed_database.url) as api:
        script = f"export API={api.url}\n{first.text}\n{second.text}"
        done = subprocess.run(
            ["sh", "-eu"], input=script, capture_output=True, text=True, timeout=HANG_S
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"published"' in done.stdout
    assert '"unread":1' in done.stdout


def _published(client: httpx.Client, publication: dict[str, Any]) -> Any:
    """Return the receipt of a publication, or nothing while Postgres is away."""
    done = client.post(FEED, json=publication)
    return done.json() if done.is_success else None
