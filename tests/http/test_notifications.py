"""Handing intents in over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from galaxy_notify.http.request_schemas import INTENT as SCHEMA
from galaxy_notify.model.intent import Intent
from tests.support.api import INTENT, PATH, fields, problem
from tests.support.servers import Server
from tests.support.telemetry import traceparent

KEY = "Idempotency-Key"


def test_accept__is_201_and_names_the_notification(api: httpx.Client) -> None:
    """The receipt is the answer, and the notification is where Location says."""
    done = api.post(PATH, json=INTENT | {"recipients": ["u1", "u2"]})
    told = done.json()
    assert done.status_code == 201
    assert (told["status"], told["routes"], told["parts"], told["error"]) == (
        "accepted", 2, 1, None,
    )  # fmt: skip
    shown = api.get(done.headers["location"]).json()
    assert shown["notification_id"] == told["notification_id"]
    assert [route["route_id"] for route in shown["routes"]] == ["push:u1", "push:u2"]


def test_accept__twice_is_200_and_the_same(api: httpx.Client) -> None:
    """The key may stand in the header, in the field, or in both, and null is no key."""
    header = {KEY: "k1"}
    done = [
        api.post(PATH, json=INTENT, headers=header),
        api.post(PATH, json=INTENT | {"idempotency_key": "k1"}),
        api.post(PATH, json=INTENT | {"idempotency_key": "k1"}, headers=header),
        api.post(PATH, json=INTENT | {"idempotency_key": None}, headers=header),
    ]
    assert [one.status_code for one in done] == [201, 200, 200, 200]
    assert [one.json()["status"] for one in done] == ["accepted"] + ["duplicate"] * 3
    assert len({one.json()["notification_id"] for one in done}) == 1


def test_accept__same_key_other_content_is_409(api: httpx.Client) -> None:
    """A conflict names the field, and the notification that has the key."""
    first = api.post(PATH, json=INTENT, headers={KEY: "k1"}).json()
    told = problem(
        api.post(PATH, json=INTENT | {"title": "x"}, headers={KEY: "k1"}), 409, "conflict"
    )
    assert fields(told) == ["idempotency_key"]
    assert told["notification_id"] == first["notification_id"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(KEY, "k1")], {"idempotency_key": "k2"}),
        ([(KEY, "k1"), (KEY, "k1")], {}),
        ([(KEY, "clé".encode())], {}),
        ([(KEY, "")], {}),
        ([(KEY, "a\tb")], {}),
    ],
    ids=["two keys", "given twice", "not ASCII", "empty", "a tab"],
)
def test_accept__doubtful_key_is_400(
    api: httpx.Client, headers: list[tuple[str, Any]], body: dict[str, str]
) -> None:
    """A key of which nobody knows what was meant is refused, by the header's name."""
    told = problem(api.post(PATH, json=INTENT | body, headers=headers), 400, "bad-request")
    assert fields(told) == [KEY]


def test_accept__of_too_much_is_413(api: httpx.Client) -> None:
    """A payload over the limit is told with the field that is to blame."""
    told = problem(api.post(PATH, json=INTENT | {"title": "x" * 300_000}), 413, "too-large")
    assert fields(told) == ["title"]
    assert "262144" in told["detail"]


def test_accept__unknown_field_is_422(api: httpx.Client) -> None:
    """What is no field of an intent is named."""
    told = problem(api.post(PATH, json=INTENT | {"recipient": "u1"}), 422, "invalid")
    assert fields(told) == ["recipient"]
    assert "recipient" in told["detail"]


def test_accept__carries_the_headers_of_the_request(api: httpx.Client, server: Server) -> None:
    """Request id and traceparent go with the intent, unless it has its own or they are no such."""
    headers = {"X-Request-Id": "r-1", "traceparent": traceparent(7)}
    one = api.post(PATH, json=INTENT, headers=headers)
    own = api.post(PATH, json=INTENT | {"request_id": "mine"}, headers=headers)
    bad = api.post(PATH, json=INTENT, headers={"X-Request-Id": "x" * 129, "traceparent": "00-1"})
    ids = [api.get(done.headers["location"]).json()["request_id"] for done in (one, own, bad)]
    assert ids == ["r-1", "mine", ""]
    assert one.headers["x-request-id"] == "r-1"
    assert len(bad.headers["x-request-id"]) == 16
    with server.client() as client:
        records = [
            client.hget(f"{{gn:0}}:notification:{done.json()['notification_id']}", "record")
            for done in (one, bad)
        ]
    assert traceparent(7).encode() in (records[0] or b"")
    assert b"00-1" not in (records[1] or b"")


def test_accept__again_after_503_is_one(api: httpx.Client) -> None:
    """The id of a 503 is handed in again as a query parameter, and is accepted once."""
    named = {"notification_id": "01" * 16}
    done = [api.post(PATH, json=INTENT, params=named) for _ in range(2)]
    assert [one.status_code for one in done] == [201, 200]
    assert {one.json()["notification_id"] for one in done} == {"01" * 16}
    told = problem(api.post(PATH, json=INTENT, params={"notification_id": "x"}), 422, "invalid")
    assert fields(told) == ["notification_id"]


def test_accept__refused_by_redis_is_not_unknown(api: httpx.Client, server: Server) -> None:
    """Where Redis takes nothing, nothing was written, and one may come again."""
    assert api.post(PATH, json=INTENT).status_code == 201
    with server.client() as admin:
        admin.config_set("maxmemory", "1")
        try:
            one = api.post(PATH, json=INTENT)
            many = api.post(f"{PATH}:batch", json=[INTENT, {}])
        finally:
            admin.config_set("maxmemory", "0")
    for done in (one, many):
        assert "nothing was written" in problem(done, 503, "refused")["detail"]
        assert done.headers["Retry-After"]
    assert one.json()["notification_id"]
    assert [(item["item"], item["code"]) for item in many.json()["errors"]] == [(0, "not_written")]


def test_batch__has_a_receipt_for_each_in_order(api: httpx.Client) -> None:
    """A refused intent does not hold up its neighbours."""
    keyed = INTENT | {"idempotency_key": "k"}
    done = api.post(f"{PATH}:batch", json=[keyed, {"type": "t"}, keyed, 7, INTENT])
    told = done.json()
    assert done.status_code == 200
    assert (told["accepted"], told["duplicates"], told["refused"]) == (2, 1, 2)
    assert [one["item"] for one in told["receipts"]] == [0, 1, 2, 3, 4]
    assert [one["status"] for one in told["receipts"]] == [
        "accepted", "refused", "duplicate", "refused", "accepted",
    ]  # fmt: skip
    assert told["receipts"][1]["error"]["field"] == "producer"
    assert told["receipts"][0]["notification_id"] == told["receipts"][2]["notification_id"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 422, "invalid"),
        ([], 422, "invalid"),
        ([INTENT] * 1001, 413, "too-large"),
    ],
    ids=["no list", "empty", "too many"],
)
def test_batch__must_be_a_list_of_some(
    api: httpx.Client, body: object, status: int, kind: str
) -> None:
    """Nothing of a list that is none, empty or too long is accepted."""
    problem(api.post(f"{PATH}:batch", json=body), status, kind)
    assert api.get("/v1/status").json()["totals"]["accepted"] == 0


def test_batch__takes_no_key(api: httpx.Client) -> None:
    """One key cannot stand for many."""
    told = problem(api.post(f"{PATH}:batch", json=[INTENT], headers={KEY: "k"}), 400, "bad-request")
    assert fields(told) == [KEY]


def test_schema__has_the_fields_of_an_intent() -> None:
    """The OpenAPI document tells every field of an intent, and no other."""
    assert set(SCHEMA["properties"]) == set(Intent.model_fields)
    needed = {name for name, field in Intent.model_fields.items() if field.is_required()}
    assert set(SCHEMA["required"]) == needed
