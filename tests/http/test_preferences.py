"""What users want to be told, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.api import INTENT, PATH, fields, problem
from tests.support.command import command_for
from tests.support.servers import Server

USER = "/v1/users/u1/preferences"
WANTED: dict[str, Any] = {
    "*": {"channels": ["push"], "min_severity": "notice"},
    "types": {"t": {"channels": []}, "typing": {"in_app": False}},
    "silenced": False,
    "quiet": {"from": "22:00", "to": "07:00", "zone": "UTC"},
}


def test_put__replaces_all_that_a_user_wants(api: httpx.Client, server: Server) -> None:
    """What is put is what is got, here and on the command line; the same again changes nothing."""
    told = [api.put(USER, json=WANTED).json() for _ in range(2)]
    assert [one["changed"] for one in told] == [True, False]
    assert told[0]["preferences"] == WANTED
    got = api.get(USER).json()
    assert got == command_for(server).told("prefs", "get", "u1")
    less = api.put(USER, json={"*": {"min_severity": "critical"}}).json()["preferences"]
    assert (less["*"], less["types"], less["quiet"]) == ({"min_severity": "critical"}, {}, None)


def test_preferences__hold_at_accept(api: httpx.Client) -> None:
    """A type that the user does not want is skipped, and the receipt says so."""
    api.put(USER, json=WANTED)
    done = api.post(PATH, json=INTENT).json()
    assert (done["status"], done["routes"], done["skipped"]) == ("accepted", 1, 1)
    shown = api.get(f"{PATH}/{done['notification_id']}").json()
    assert shown["routes"][0]["status"] == "skipped"


def test_silence__is_taken_back(api: httpx.Client) -> None:
    """Silence keeps what was set, and each call says whether it changed anything."""
    api.put(USER, json=WANTED)
    for path, silenced in (("silence", True), ("resume", False)):
        told = [api.post(f"{USER}/{path}").json() for _ in range(2)]
        assert [one["changed"] for one in told] == [True, False]
        assert told[1]["preferences"] == WANTED | {"silenced": silenced}


def test_delete__forgets_the_user(api: httpx.Client) -> None:
    """Nothing is left, and once more changes nothing; nobody unknown is an error."""
    api.put(USER, json=WANTED)
    told = [api.delete(USER).json() for _ in range(2)]
    assert [one["changed"] for one in told] == [True, False]
    nothing: dict[str, Any] = {"*": None, "types": {}, "silenced": False, "quiet": None}
    assert api.get(USER).json()["preferences"] == nothing


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({"all": {}}, "all"),
        ({"*": {}}, "*"),
        ({"*": {"channels": ["pigeon"]}}, "*.channels[0]"),
        ({"types": {"t": {"min_severity": "dire"}}}, "types.t.min_severity"),
        ({"types": {"a b": {"channels": []}}}, "types"),
        ({"silenced": "yes"}, "silenced"),
        ({"quiet": {"from": "25:00", "to": "07:00", "zone": "UTC"}}, "quiet.from"),
        ({"quiet": {"from": "22:00", "to": "07:00", "zone": "Mars/Base"}}, "quiet.zone"),
    ],
)
def test_put__names_what_is_wrong(api: httpx.Client, body: object, field: str) -> None:
    """Preferences that cannot be are refused by the field, and nothing is stored."""
    assert fields(problem(api.put(USER, json=body), 422, "invalid")) == [field]
    assert api.get(USER).json()["preferences"]["*"] is None


def test_condition__is_checked_by_every_change(api: httpx.Client) -> None:
    """What was changed meanwhile is not overwritten; what is done already is no conflict."""
    seen = {"If-Match": api.get(USER).headers["etag"]}
    first = api.put(USER, json=WANTED, headers=seen)
    assert first.json()["changed"]
    assert not api.put(USER, json=WANTED, headers=seen).json()["changed"]
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/silence")):
        refused = api.request(method, f"{USER}{path}", json={}, headers=seen)
        found = problem(refused, 412, "precondition-failed")
        assert found["etag"] == refused.headers["etag"] == first.headers["etag"]
    assert not api.post(f"{USER}/resume", headers=seen).json()["changed"]
    problem(api.put(USER, json={}, headers={"If-Match": "x"}), 400, "bad-request")
    problem(api.put(USER, json={}, headers={"If-None-Match": "*"}), 412, "precondition-failed")
    now = {"If-Match": first.headers["etag"]}
    assert api.delete(USER, headers=now).headers["etag"] == seen["If-Match"]
    assert api.put(USER, json=WANTED, headers={"If-Match": "*"}).json()["changed"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_user__must_be_one_that_can_be(api: httpx.Client, method: str) -> None:
    """A name that no recipient has is refused."""
    done = api.request(method, "/v1/users/a%20b/preferences", json={})
    assert fields(problem(done, 422, "invalid")) == ["user"]


def test_foreign_key__is_409(api: httpx.Client, server: Server) -> None:
    """Where somebody else's key stands in Redis, it is told instead of written over."""
    with server.client() as client:
        client.set("{gn:0}:preferences:u1", "foreign")
    told = problem(api.put(USER, json=WANTED), 409, "conflict")
    assert fields(told) == ["user"]
