"""Listing what was accepted, and giving it another due time, over HTTP."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.support.api import INTENT, PATH, fields, problem
from tests.support.dead_letters import DeadLetterFixture

LATER = INTENT | {"channels": ["push"], "due_at": 2 * 10**12, "recipients": ["u1", "u2"]}


def accepted(api: httpx.Client, **changed: Any) -> str:
    """Accept an intent that is due later and return the notification id."""
    return str(api.post(PATH, json=LATER | changed).json()["notification_id"])


def listed(api: httpx.Client, **query: Any) -> list[str]:
    """Return the ids of a list, over all its pages."""
    found: list[str] = []
    while True:
        page = api.get(PATH, params=query).json()
        found += [one["notification_id"] for one in page["notifications"]]
        if page["cursor"] is None:
            return found
        query["cursor"] = page["cursor"]


def test_list__has_all_pages_newest_first(api: httpx.Client) -> None:
    """From page to page nothing comes twice and nothing is passed over."""
    made = [accepted(api) for _ in range(7)]
    assert listed(api) == listed(api, limit=3) == made[::-1]


def test_list__goes_by_its_filters(api: httpx.Client) -> None:
    """State, type, producer, user and time; a filter given twice takes either."""
    one, two = accepted(api, type="a"), accepted(api, type="b", producer="q", recipients=["u9"])
    api.delete(f"{PATH}/{one}")
    assert listed(api, state="cancelled") == listed(api, type="a") == [one]
    assert listed(api, state="open") == listed(api, user="u9") == listed(api, producer="q") == [two]
    assert listed(api, type=["a", "b"]) == listed(api, since="1h") == [two, one]
    assert listed(api, until="1h") == []
    told = api.get(PATH, params={"state": "cancelled"}).json()["notifications"][0]
    assert (told["cancelled"], told["open"], told["routes"]) == (True, 0, 2)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("user=a%20b", "user"),
        ("since=soon", "since"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("status=open", "status"),
    ],
)
def test_list__names_what_is_wrong(api: httpx.Client, query: str, field: str) -> None:
    """A filter that cannot be is refused by its name."""
    assert fields(problem(api.get(f"{PATH}?{query}"), 422, "invalid")) == [field]


def test_reschedule__moves_what_waits(api: httpx.Client) -> None:
    """One route, then all; times are those of an intent; the history tells who did it."""
    where = f"{PATH}/{accepted(api)}"
    sooner = (time.time_ns() // 1_000_000 + 3_600_000) // 1000 * 1000
    one = api.patch(where, json={"due_at": sooner}, params={"route": "push:u1"})
    assert (one.status_code, one.json()["moved"], one.json()["too_late"]) == (200, 1, 0)
    assert api.patch(where, json={"due_at": "2030-01-31T09:00:00Z"}).json()["moved"] == 2
    routes = api.get(where).json()["routes"]
    assert {route["due_at_ms"] for route in routes} == {1896080400000}
    assert routes[0]["history"][-1]["worker"] == "http:anonymous"


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "due_at"), ({"due_at": "soon"}, "due_at"), ({"due_at": 1, "x": 2}, "x"), ([], "")],
)
def test_reschedule__names_what_is_wrong(api: httpx.Client, body: object, field: str) -> None:
    """Without a time that can be, nothing is moved."""
    where = f"{PATH}/{accepted(api)}"
    assert fields(problem(api.patch(where, json=body), 422, "invalid")) == [field]


def test_reschedule__of_what_is_gone(api: httpx.Client, deployment: DeadLetterFixture) -> None:
    """404 for what nobody knows, 409 where all is too late."""
    body = {"due_at": 2 * 10**12}
    problem(api.patch(f"{PATH}/{'0' * 32}", json=body), 404, "not-found")
    told = problem(api.patch(f"{PATH}/{deployment.bury()[0][:32]}", json=body), 409, "too-late")
    assert (told["moved"], told["too_late"]) == (0, 1)
