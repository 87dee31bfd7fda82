"""Users' own preferences at a gateway: read, changed, and not overwritten by another tab."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.api import fields, problem
from tests.support.command import command_for
from tests.support.gateways import GatewayProcess, gateway_on, token
from tests.support.servers import Server

_PATH = "/v1/me/preferences"
_CHANGES = [("PUT", _PATH), ("POST", f"{_PATH}/silence"), ("POST", f"{_PATH}/resume")]
_EVERY = [("GET", _PATH), *_CHANGES]
_NOTHING: dict[str, Any] = {"*": None, "types": {}, "silenced": False, "quiet": None}
_WANTED: dict[str, Any] = {
    "*": {"channels": ["push"], "min_severity": "notice"},
    "types": {"chat": {"channels": []}, "typing": {"in_app": False}},
    "silenced": False,
    "quiet": {"from": "22:00", "to": "07:00", "zone": "UTC"},
}
_PAGE, _COOKIE = "https://app.example", "__Host-session"


@pytest.fixture
def own(gateway: GatewayProcess, user: str) -> Iterator[httpx.Client]:
    """Give a client of a user who has chosen nothing."""
    with gateway.client() as client:
        client.headers["Authorization"] = f"Bearer {token(user)}"
        yield client


def _tag(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"If-Match": answer.headers["etag"]}


def test_put__is_what_is_got(own: httpx.Client, user: str, gateway: GatewayProcess) -> None:
    """By the user, and on the command line; the same again changes nothing."""
    first = own.get(_PATH)
    assert first.json() == {"user": user, "preferences": _NOTHING, "unreadable": []}
    done = [own.put(_PATH, json=_WANTED) for _ in range(2)]
    assert [one.json()["changed"] for one in done] == [True, False]
    assert done[0].json()["preferences"] == _WANTED
    got = own.get(_PATH)
    assert got.json() == command_for(gateway.server, WORKER__SHARDS="2").told("prefs", "get", user)
    assert _tag(got) == _tag(done[0]) == _tag(done[1]) != _tag(first)
    assert own.head(_PATH).headers["etag"] == got.headers["etag"]
    for path, silenced in (("silence", True), ("resume", False)):
        changed = [own.post(f"{_PATH}/{path}").json() for _ in range(2)]
        assert [one["changed"] for one in changed] == [True, False]
        assert changed[1]["preferences"] == _WANTED | {"silenced": silenced}
    assert _tag(own.get(_PATH)) == _tag(got)


def test_tabs__do_not_overwrite_each_other(own: httpx.Client) -> None:
    """The second one is refused, has the tag of what is stored, and decides again."""
    seen = _tag(own.get(_PATH))
    first = own.put(_PATH, json=_WANTED, headers=seen)
    other: dict[str, Any] = {"types": {"typing": {"in_app": True}}}
    bodies: list[tuple[str, str, Any]] = [
        ("PUT", "", other),
        ("PUT", "", {}),
        ("POST", "/silence", None),
    ]
    for method, path, body in bodies:
        refused = own.request(method, f"{_PATH}{path}", json=body, headers=seen)
        found = problem(refused, 412, "precondition-failed")
        assert (found["etag"], fields(found)) == (first.headers["etag"], ["If-Match"])
        assert refused.headers["etag"] == first.headers["etag"]
    assert own.get(_PATH).json()["preferences"] == _WANTED
    done = own.put(_PATH, json=other, headers=_tag(own.get(_PATH)))
    assert done.json()["preferences"] == _NOTHING | other


def test_repeat__is_no_conflict_with_itself(own: httpx.Client) -> None:
    """The answer to the first one may have been lost."""
    seen = _tag(own.get(_PATH))
    assert own.put(_PATH, json=_WANTED, headers=seen).json()["changed"]
    assert not own.put(_PATH, json=_WANTED, headers=seen).json()["changed"]
    seen = _tag(own.get(_PATH))
    for changed in (True, False):
        assert own.post(f"{_PATH}/silence", headers=seen).json()["changed"] == changed


def test_change__is_made_once_of_many_at_the_same_time(own: httpx.Client) -> None:
    """All tabs have seen the same; one of them wins, and all others are refused."""
    seen = _tag(own.get(_PATH))
    bodies: list[dict[str, Any]] = [
        {"types": {f"t{number}": {"channels": []}}} for number in range(6)
    ]

    def change(body: dict[str, Any]) -> int:
        return own.put(_PATH, json=body, headers=seen).status_code

    with ThreadPoolExecutor(len(bodies)) as tabs:
        assert sorted(tabs.map(change, bodies)) == [200, *[412] * 5]


def test_in_app__makes_another_tag(own: httpx.Client) -> None:
    """It is a field of its own in Redis, and part of what a tab has seen."""
    tags = {own.get(_PATH).headers["etag"]}
    for in_app in (True, False):
        done = own.put(_PATH, json={"*": {"in_app": in_app}})
        assert done.json()["preferences"]["*"] == {"in_app": in_app}
        tags.add(done.headers["etag"])
    assert len(tags) == 3


def test_condition__is_read_as_rfc_9110_has_it(own: httpx.Client) -> None:
    """One of several tags, any; a weak or a foreign one never; what is no list is refused."""
    own.put(_PATH, json=_WANTED)
    tag = own.get(_PATH).headers["etag"]
    for value, status in (
        (f'"x", {tag}', 200),
        ("*", 200),
        (f"W/{tag}", 412),
        ('"x"', 412),
        (tag.strip('"'), 400),
        ("", 400),
        (f"{tag},", 400),
        (", ".join([tag] * 17), 400),
    ):
        body = _WANTED if status == 200 else {}
        answer = own.put(_PATH, json=body, headers={"If-Match": value})
        assert answer.status_code == status, value
    twice = [*own.headers.items(), ("If-Match", tag), ("If-Match", tag)]
    problem(own.put(_PATH, json={}, headers=twice), 400, "bad-request")
    for name in ("If-None-Match", "If-Unmodified-Since"):
        for method, path in _CHANGES:
            found = own.request(method, path, json={}, headers={name: "*"})
            problem(found, 412, "precondition-failed")
    assert own.get(_PATH).headers["etag"] == tag


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b'{"*":null,"*":null}', 400, "*"),
        (b"[]", 422, ""),
        (b'{"user":"u1"}', 422, "user"),
        (b'{"*":{}}', 422, "*"),
        (b'{"*":{"channels":["pigeon"]}}', 422, "*.channels[0]"),
        (b'{"*":{"in_app":"no"}}', 422, "*.in_app"),
        (b'{"*":{"inapp":true}}', 422, "*.inapp"),
        (b'{"types":{"a b":{"channels":[]}}}', 422, "types"),
        (b'{"quiet":{"from":"25:00","to":"07:00","zone":"UTC"}}', 422, "quiet.from"),
    ],
)
def test_put__names_what_is_wrong(own: httpx.Client, body: bytes, status: int, field: str) -> None:
    """With the words of the HTTP API, and nothing is stored."""
    answer = own.put(_PATH, content=body, headers={"Content-Type": "application/json"})
    found = problem(answer, status, "invalid" if status == 422 else "bad-request")
    assert fields(found) == [field]
    assert own.get(_PATH).json()["preferences"] == _NOTHING


def test_request__that_is_hostile_is_refused(own: httpx.Client) -> None:
    """Bodies are bounded and JSON, parameters are unknown, and other methods are not there."""
    json = {"Content-Type": "application/json"}
    problem(own.put(_PATH, content=b" " * (1 << 18), headers=json), 413, "too-large")
    problem(own.put(_PATH, content=b"{}"), 415, "unsupported-media-type")
    for method, path in _EVERY:
        found = own.request(method, f"{path}?user=u9", json={})
        assert fields(problem(found, 422, "invalid")) == ["user"]
    answer = own.delete(_PATH)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, PUT, OPTIONS"
    problem(own.get(f"{_PATH}/silence"), 405, "method-not-allowed")


def test_foreign_key__is_409(own: httpx.Client, user: str, gateway: GatewayProcess) -> None:
    """Another client's key stays as it is."""
    with gateway.server.client() as client:
        for shard in range(2):
            client.set(f"{{gn:{shard}}}:preferences:{user}", "foreign")
        answer = own.get(_PATH)
        assert (answer.json()["unreadable"], "etag" in answer.headers) == (["(all)"], False)
        for headers in ({}, {"If-Match": '"x"'}):
            found = problem(own.put(_PATH, json=_WANTED, headers=headers), 409, "conflict")
            assert fields(found) == ["user"]


@pytest.mark.parametrize(("method", "path"), _EVERY)
def test_preferences__are_for_who_has_a_token(
    gateway: GatewayProcess, user: str, method: str, path: str
) -> None:
    """Those of the token's user, and nobody else's."""
    with gateway.client() as client:
        for bearer in ("x", token(user, secret="another secret, which is as long as it")):
            headers = {"Authorization": f"Bearer {bearer}"}
            problem(client.request(method, path, json={}, headers=headers), 401, "unauthorized")
        problem(client.request(method, path, json={}), 401, "unauthorized")
        given = client.post("/v1/me/tickets", headers={"Authorization": f"Bearer {token(user)}"})
        asked = f"{path}?ticket={given.json()['ticket']}"
        problem(client.request(method, asked, json={}), 401, "unauthorized")


def test_cookie__is_taken_from_listed_pages(server: Server) -> None:
    """A change needs the origin; what changes nothing also comes from a page of the same one."""
    given: dict[str, Any] = {"realtime__cookie": _COOKIE, "realtime__allowed_origins": [_PAGE]}
    with gateway_on(server, **given) as gateway, gateway.client() as client:
        cookie = {"Cookie": f"{_COOKIE}={token()}"}
        for method, path in _EVERY:
            cases: list[tuple[dict[str, str], bool]] = [
                ({}, False),
                ({"Sec-Fetch-Site": "same-origin"}, method == "GET"),
                ({"Sec-Fetch-Site": "same-site"}, False),
                ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
                ({"Origin": "null"}, False),
                ({"Origin": _PAGE}, True),
            ]
            for more, is_let_in in cases:
                answer = client.request(method, path, json=_WANTED, headers=cookie | more)
                if is_let_in:
                    assert answer.is_success, (method, path, more)
                else:
                    problem(answer, 403, "forbidden")
            asked = client.options(path, headers={"Origin": _PAGE}).headers
            assert method in asked["access-control-allow-methods"]
            assert "if-match" in asked["access-control-allow-headers"]
        read = client.get(_PATH, headers=cookie | {"Origin": _PAGE})
        assert read.headers["access-control-allow-origin"] == _PAGE
        assert "etag" in read.headers["access-control-expose-headers"]
        seen = {"If-Match": '"x"', "Origin": _PAGE}
        refused = client.put(_PATH, json={}, headers=cookie | seen)
        problem(refused, 412, "precondition-failed")
        assert refused.headers["access-control-allow-origin"] == _PAGE


def test_outage__of_redis_is_503(own_server: Server) -> None:
    """It ends by itself, names no server, and what was stored is there."""
    with gateway_on(own_server) as gateway, gateway.client() as client:
        headers = {"Authorization": f"Bearer {token()}"}
        done = client.put(_PATH, json=_WANTED, headers=headers)
        own_server.kill()
        for method, path in _EVERY:
            answer = client.request(method, path, json=_WANTED, headers=headers)
            found = problem(answer, 503, "unavailable")
            assert "127.0.0.1" not in found["detail"]
            assert int(answer.headers["retry-after"]) > 0
        own_server.start()
        gateway.ready()
        again = client.put(_PATH, json=_WANTED, headers=headers | _tag(done))
        assert (again.json()["changed"], _tag(again)) == (False, _tag(done))


def test_logout__voids_the_tokens(own: httpx.Client, user: str, gateway: GatewayProcess) -> None:
    """At once, on every path, and nothing is changed."""
    old = {"Authorization": f"Bearer {token(user, iat=time.time() - 5)}"}
    assert own.get(_PATH, headers=old).json()["preferences"] == _NOTHING
    command_for(gateway.server, WORKER__SHARDS="2").told("users", "logout", user)
    for method, path in _EVERY:
        answer = own.request(method, path, json=_WANTED, headers=old)
        assert "logged out" in problem(answer, 401, "unauthorized")["detail"]
    later = {"Authorization": f"Bearer {token(user, iat=time.time() + 2)}"}
    assert own.get(_PATH, headers=later).json()["preferences"] == _NOTHING
