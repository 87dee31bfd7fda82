"""Tokens that are bound to producers: what others handed in is as if it were not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from galaxy_notify.http.auth import Client
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.settings.http import parse_token
from tests.http.conftest import AUDIENCE, ISSUER
from tests.support.api import INTENT, PATH, ApiProcess, api_on, bearer, entry, fields, problem
from tests.support.command import NOWHERE, CommandLine
from tests.support.dead_letters import DeadLetterFixture, Kind
from tests.support.servers import Server

LOBBY = INTENT | {"producer": "lobby", "due_at": 2 * 10**12}
SHOP = LOBBY | {"producer": "shop"}
DEAD, REPLAY = "/v1/dead-letters", "/v1/dead-letters:replay"


@pytest.fixture
def bound(server: Server) -> Iterator[ApiProcess]:
    """Start an API of which `shop` is bound to lobby, and `ann` to nothing."""
    tokens = [
        f"{entry('shop', 'producer+operator')}:producer=lobby+game",
        entry("ann", "producer+operator"),
    ]
    with api_on(server, http__tokens=tokens) as api:
        yield api


@pytest.fixture
def own(bound: ApiProcess) -> Iterator[httpx.Client]:
    """Give the bound client."""
    with bound.client("shop") as client:
        yield client


@pytest.fixture
def others(bound: ApiProcess) -> Iterator[httpx.Client]:
    """Give the client that is not bound."""
    with bound.client("ann") as client:
        yield client


def test_accept__is_as_ones_own_producers_only(own: httpx.Client, others: httpx.Client) -> None:
    """Another producer's name is 403, and refused alone in a batch; nothing of it is stored."""
    assert own.post(PATH, json=LOBBY).status_code == 201
    told = problem(own.post(PATH, json=SHOP), 403, "forbidden")
    assert fields(told) == ["producer"]
    told = own.post(f"{PATH}:batch", json=[SHOP, LOBBY, LOBBY | {"producer": 7}]).json()
    assert [one["status"] for one in told["receipts"]] == ["refused", "accepted", "refused"]
    assert told["receipts"][0]["error"]["field"] == "producer"
    assert "game, lobby" in told["receipts"][0]["error"]["message"]
    assert others.get("/v1/status").json()["totals"]["accepted"] == 2


def test_key__of_another_producer_is_not_taken(own: httpx.Client, others: httpx.Client) -> None:
    """The id of another producer's key cannot be taken before that hands in under it."""
    taken = {"notification_id": id_for_key("shop", "k")}
    told = problem(own.post(PATH, json=LOBBY, params=taken), 422, "invalid")
    assert fields(told) == ["notification_id"]
    assert others.post(PATH, json=SHOP | {"idempotency_key": "k"}).status_code == 201
    made = own.post(PATH, json=LOBBY).json()["notification_id"]
    again = own.post(PATH, json=LOBBY, params={"notification_id": made})
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")


def test_notification__of_others_is_unknown(own: httpx.Client, others: httpx.Client) -> None:
    """It is neither shown, moved nor taken back, and not told from one that never was."""
    made = others.post(PATH, json=SHOP).json()["notification_id"]
    due: dict[str, Any] = {"json": {"due_at": "2040-01-31T09:00:00Z"}}
    for method, more in (("GET", {}), ("PATCH", due), ("DELETE", {})):
        texts = []
        for name in (made, "0" * 32):
            done = own.request(method, f"{PATH}/{name}", **more)
            texts.append(problem(done, 404, "not-found")["detail"].replace(name, "ID"))
        assert len(set(texts)) == 1
        problem(own.request(method, f"{PATH}/{made}?route=push:u1", **more), 404, "not-found")
    (route,) = others.get(f"{PATH}/{made}").json()["routes"]
    assert (route["status"], route["due_at_ms"]) == ("pending", 2 * 10**12)
    mine = own.post(PATH, json=LOBBY).json()["notification_id"]
    for method, more in (("GET", {}), ("PATCH", due), ("DELETE", {})):
        assert own.request(method, f"{PATH}/{mine}", **more).status_code == 200


def test_list__is_of_ones_own(own: httpx.Client, others: httpx.Client) -> None:
    """Whatever is asked for, only what its producers handed in is listed."""
    others.post(f"{PATH}:batch", json=[SHOP, LOBBY, SHOP])
    for query, found in (("", 1), ("?producer=lobby", 1), ("?producer=shop", 0)):
        assert len(own.get(PATH + query).json()["notifications"]) == found
    assert len(others.get(PATH).json()["notifications"]) == 3


def test_dead_letters__are_ones_own(
    own: httpx.Client, others: httpx.Client, deployment: DeadLetterFixture
) -> None:
    """They are neither seen nor replayed, by their ids, by a filter or all."""
    (other,) = deployment.bury(kind=Kind(producer="shop", key="s"))
    (mine,) = deployment.bury(kind=Kind(producer="lobby", key="l"))
    assert [one["id"] for one in own.get(DEAD).json()["dead_letters"]] == [mine]
    assert own.get(f"{DEAD}?producer=shop").json()["dead_letters"] == []
    for asked in ({"ids": [other]}, {"ids": [other[:32]]}, {"producer": ["shop"]}):
        assert own.post(REPLAY, json=asked).json()["moved"] == 0
    assert own.post(REPLAY, json={"all": True}).json()["moved"] == 1
    assert [one["id"] for one in others.get(DEAD).json()["dead_letters"]] == [other]


def test_jwt__is_bound_by_a_scope(
    guarded: ApiProcess, server: Server, signing_key: ec.EllipticCurvePrivateKey
) -> None:
    """The scope producer=NAME opens what producer opens, for that one; beside it, as well."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "exp": int(time.time()) + 300}
    for scope in ("gn:producer=lobby", "gn:producer gn:producer=lobby", ["gn:producer=lobby"]):
        token = jwt.encode(claims | {"scope": scope}, signing_key, "ES256")
        with guarded.client() as api:
            assert api.post(PATH, json=LOBBY, headers=bearer(token)).status_code == 201
            problem(api.post(PATH, json=SHOP, headers=bearer(token)), 403, "forbidden")
    token = jwt.encode(claims | {"scope": "gn:producer gn:producer="}, signing_key, "ES256")
    with guarded.client() as api:
        problem(api.post(PATH, json=LOBBY, headers=bearer(token)), 403, "forbidden")


def test_entry__of_the_settings() -> None:
    """The older form is not bound; names are divided by +; nothing else stands behind the hash."""
    digest = "0" * 64
    assert parse_token(f"a:producer:{digest}").producers is None
    assert parse_token(f"a:producer:{digest}:producer=x+y").producers == frozenset("xy")
    for wrong in (":producer=", ":producer=x+", ":producers=x", ":producer=x,y", ":", ":x"):
        with pytest.raises(ValueError, match="must be NAME"):
            parse_token(f"a:producer:{digest}{wrong}")


def test_filter__never_widens() -> None:
    """What is asked for beside one's own leaves nothing, and not all."""
    bound = Client("a", frozenset({"producer"}), frozenset({"x"}))
    assert bound.among([]) == bound.among(["x", "y"]) == ("x",)
    assert bound.among(["y"]) == ("",)


def test_hash_token__binds_to_producers() -> None:
    """What it prints is what the settings take."""
    command = CommandLine(NOWHERE)
    options = ("--scope", "producer", "--producer", "lobby", "--producer", "game")
    done = command.run("config", "hash-token", "shop", *options, stdin="x" * 40)
    assert done.stdout.strip().endswith(":producer=lobby+game")
    assert parse_token(done.stdout.strip()).producers == frozenset(["lobby", "game"])
    made = CommandLine(NOWHERE, {"HTTP__TOKENS": done.stdout.strip()})
    assert made.run("config", "check").exit_code == 0
    wrong = command.run("config", "hash-token", "shop", *options[:3], "a+b", stdin="x" * 40)
    assert wrong.exit_code == 2
    assert "--producer" in wrong.stderr
