"""Looking after notifications over HTTP: explain, cancel, dead letters, status, metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from galaxy_notify.http.dead_letters import search
from galaxy_notify.http.pools import Deadline
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import DeadLetterReader
from tests.support.api import INTENT, PATH, fields, problem
from tests.support.command import command_for
from tests.support.dead_letters import DeadLetterFixture, Kind
from tests.support.servers import Server
from tests.support.wait import wait_until

DEAD = "/v1/dead-letters"
MISSING = "record_missing"
REPLAY = f"{DEAD}:replay"
LATER = INTENT | {"channels": ["push"], "due_at": 2 * 10**12, "recipients": ["u1", "u2"]}


def accepted(api: httpx.Client, intent: dict[str, Any] = INTENT) -> str:
    """Accept an intent and return the notification id."""
    return str(api.post(PATH, json=intent).json()["notification_id"])


def test_explain__is_what_show_prints(api: httpx.Client, server: Server) -> None:
    """The API and the command line tell the same; the payload only where it is asked for."""
    made = accepted(api, LATER | {"title": "Turn"})
    shown = command_for(server).told("show", made, "--payload")
    assert api.get(f"{PATH}/{made}", params={"payload": True}).json() == shown
    told = api.get(f"{PATH}/{made}", params={"route": "push:u2"}).json()
    assert [route["route_id"] for route in told["routes"]] == ["push:u2"]
    assert "payload" not in told


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["0" * 32, "nope", "%00", "0" * 5000])
def test_unknown_notification__is_404(api: httpx.Client, method: str, name: str) -> None:
    """An id that names nothing, or is none, is not found."""
    problem(api.request(method, f"{PATH}/{name}"), 404, "not-found")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_route__is_404(api: httpx.Client, method: str) -> None:
    """A route that the notification does not have is not found, one that cannot be is 422."""
    where = f"{PATH}/{accepted(api, LATER)}"
    problem(api.request(method, where, params={"route": "push:u3"}), 404, "not-found")
    told = problem(api.request(method, where, params={"route": "push"}), 422, "invalid")
    assert fields(told) == ["route"]


def test_cancel__takes_back_what_waits(api: httpx.Client) -> None:
    """One route, then the rest; again is no error; the history tells who did it."""
    where = f"{PATH}/{accepted(api, LATER)}"
    one = api.delete(where, params={"route": "push:u1"})
    assert (one.status_code, one.json()["cancelled"]) == (200, 1)
    for _ in range(2):
        rest = api.delete(where)
        assert (rest.status_code, rest.json()["cancelled"], rest.json()["too_late"]) == (200, 2, 0)
    routes = api.get(where).json()["routes"]
    assert [route["status"] for route in routes] == ["cancelled"] * 2
    assert routes[0]["history"][-1]["worker"] == "http:anonymous"


def test_cancel__too_late_is_409(api: httpx.Client, deployment: DeadLetterFixture) -> None:
    """Where nothing is left to take back, the counts come with the conflict."""
    member = deployment.bury()[0]
    told = problem(api.delete(f"{PATH}/{member[:32]}"), 409, "too-late")
    assert (told["cancelled"], told["too_late"]) == (0, 1)


def test_dead_letters__are_what_dead_ls_prints(
    api: httpx.Client, server: Server, deployment: DeadLetterFixture
) -> None:
    """The list has the lines of the command, and the same filters."""
    deployment.bury(number=2)
    deployment.bury(kind=Kind(type="other"))
    done = command_for(server).run("dead", "ls", "--type", "other", "--json")
    told = api.get(DEAD, params={"type": "other"}).json()
    assert told["complete"]
    assert told["dead_letters"] == [json.loads(line) for line in done.stdout.splitlines()]
    assert len(api.get(DEAD, params={"type": ["other", "game.ready"]}).json()["dead_letters"]) == 3
    assert len(api.get(DEAD, params={"limit": 2}).json()["dead_letters"]) == 2
    assert api.get(DEAD, params={"since": "1m", "class": MISSING}).json()["dead_letters"] == []


def test_replay__moves_what_was_meant_once(
    api: httpx.Client, deployment: DeadLetterFixture
) -> None:
    """A dry run moves nothing, a replay what was asked for, the same again nothing."""
    members = deployment.bury(number=3)
    asked = {"type": ["game.ready"], "limit": 2}
    dry = api.post(REPLAY, json=asked | {"dry_run": True}).json()
    assert (dry["dry_run"], dry["matched"], dry["moved"]) == (True, 2, 2)
    assert len(deployment.dead()) == 3
    assert api.post(REPLAY, json=asked).json()["moved"] == 2
    ids = [*members, "0" * 32]
    told = api.post(REPLAY, json={"ids": ids}).json()
    assert (told["matched"], told["moved"], told["gone"]) == (4, 1, 3)
    assert deployment.dead() == {}
    assert deployment.scheduled() == set(members)
    assert deployment.route(members[0]).history[-1].worker == "http:anonymous"


def test_search__ends_when_its_time_is_over(deployment: DeadLetterFixture) -> None:
    """A filter that nothing matches does not look through a million in vain."""
    deployment.bury(number=3)
    letters = DeadLetterReader(deployment.connected)
    for wanted, all_of_them in (
        (DeadFilter(classes=(MISSING,)), []),
        (DeadFilter(), ["one"]),
    ):
        found, complete = search(letters, wanted, Deadline(0))
        assert (len(found), complete) == (len(all_of_them), False)
    assert search(letters, DeadFilter(limit=2), Deadline(60))[1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"limit": 5}, "ids"),
        ({"ids": ["x"]}, "ids[0]"),
        ({"ids": ["0" * 32], "type": ["t"]}, "ids"),
        ({"ids": ["0" * 32], "all": True}, "ids"),
        ({"all": True, "limit": 1001}, "limit"),
        ({"ids": ["0" * 32] * 101}, "ids"),
        ({"all": True, "rate": 1}, "rate"),
        ({"all": "yes"}, "all"),
        ({"all": True, "since": "never"}, "since"),
        ({"type": "t"}, "type"),
        ([], ""),
    ],
)
def test_replay__says_what_is_wrong_and_moves_nothing(
    api: httpx.Client, deployment: DeadLetterFixture, body: object, field: str
) -> None:
    """Bulk needs a filter, or all; what is not understood is named."""
    deployment.bury()
    told = problem(api.post(REPLAY, json=body), 422, "invalid")
    assert fields(told) == [field]
    assert len(deployment.dead()) == 1


def test_status__is_what_status_prints(api: httpx.Client, server: Server) -> None:
    """The API and the command line tell the same."""
    accepted(api, LATER)
    told, shown = api.get("/v1/status").json(), command_for(server).told("status")
    assert told | {"at_ms": 0} == shown | {"at_ms": 0}


def test_probes__tell_alive_and_ready(api: httpx.Client) -> None:
    """Both answer without anything to show."""
    assert api.get("/healthz").json() == {"status": "ok"}
    ready = api.get("/readyz").json()
    assert ready["status"] == "ok"
    assert ready["write_ms"] > 0


def test_metrics__count_requests_clients_and_intents(api: httpx.Client) -> None:
    """Prometheus finds requests by route and client, and what was accepted or refused."""
    before = _metrics(api)
    key = {"Idempotency-Key": "k"}
    for intent in (INTENT, INTENT, INTENT | {"title": "x"}, {}):
        api.post(PATH, json=intent, headers=key)
    api.delete(f"{PATH}/{accepted(api, LATER)}")
    after = _metrics(api)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    posts = 'http_request_duration_seconds_count{method="POST",route="/v1/notifications",status='
    assert (grown[posts + '"201"}'], grown[posts + '"200"}']) == (2, 1)
    assert grown['http_client_requests_total{client="anonymous",status="409"}'] == 1
    assert grown['notifications_accepted_total{status="accepted"}'] == 2
    assert grown['notifications_accepted_total{status="duplicate"}'] == 1
    assert grown['notifications_refused_total{code="conflict"}'] == 1
    assert grown['notifications_refused_total{code="invalid"}'] == 1
    assert grown['routes_accepted_total{channel="any"}'] == 1
    assert grown['routes_accepted_total{channel="push"}'] == 2
    assert grown['routes_cancelled_total{channel="any"}'] == 2


def _metrics(api: httpx.Client) -> dict[str, float]:
    done = api.get("/metrics")
    assert done.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = re.findall(r"^galaxy_notify_(\S+) (\S+)$", done.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_log__has_one_line_for_each_request_and_no_secrets(
    api: httpx.Client, open_process: Any
) -> None:
    """The line names the route's template, never what stands in the path or the query."""
    made = accepted(api, LATER)
    api.get(f"{PATH}/{made}", params={"route": "push:u1"}, headers={"X-Request-Id": "r-77"})

    def lines() -> list[Any]:
        return [one for one in open_process.lines("request") if one["request_id"] == "r-77"]

    wait_until(lines, "the request is in the log")
    (line,) = lines()
    assert (line["method"], line["route"]) == ("GET", f"{PATH}/{{notification_id}}")
    assert (line["status"], line["client"]) == (200, "anonymous")
    assert line["ms"] > 0
    assert "push:u1" not in str(line)


@pytest.mark.parametrize(("name", "value"), [("class", "foo"), ("channel", "sms")])
def test_dead_letters__refuse_unknown_values(api: httpx.Client, name: str, value: str) -> None:
    """What no dead letter can be is refused, and what there is is named."""
    listed = api.get(DEAD, params={name: value})
    replayed = api.post(f"{DEAD}:replay", json={name: [value]})
    for answer in (listed, replayed):
        assert answer.status_code == 422
        assert "known: p" in answer.text
