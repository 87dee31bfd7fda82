"""What a body may cost: it is refused before it is parsed, or parsed beside the loop."""

from __future__ import annotations

import httpx
import pytest

from galaxy_notify.model.json_text import USUAL
from galaxy_notify.web.bodies import SHORT_BYTES
from tests.support.api import INTENT, PATH, fields, problem

JSON = {"Content-Type": "application/json"}
ID = "0" * 32


@pytest.mark.parametrize("path", [PATH, f"{PATH}:batch"])
def test_body__of_too_many_values_is_413(api: httpx.Client, path: str) -> None:
    """The number of values is bounded, however few bytes they have."""
    content = b"[" + b"[]," * (USUAL.containers + 1) + b"1]"
    told = problem(api.post(path, content=content, headers=JSON), 413, "too-large")
    assert "65,536 lists and objects" in told["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", f"{PATH}/{ID}"),
        ("POST", "/v1/dead-letters:replay"),
        ("PUT", "/v1/users/u1/preferences"),
    ],
)
def test_short_body__has_limits_of_its_own(api: httpx.Client, method: str, path: str) -> None:
    """What only says what to do is refused sooner than an intent."""
    values = b'{"x": [' + b"1," * 40_000 + b"1]}"
    problem(api.request(method, path, content=values, headers=JSON), 413, "too-large")
    if method != "PUT":
        text = b'{"x": "' + b"x" * SHORT_BYTES + b'"}'
        problem(api.request(method, path, content=text, headers=JSON), 413, "too-large")


def test_heavy_intent__is_accepted_as_a_light_one(api: httpx.Client) -> None:
    """What is legal and takes long has the answer of everything else."""
    heavy = INTENT | {"data": {"x": [[1, 2, 3]] * 10_000}}
    assert api.post(PATH, json=heavy).status_code == 201
    told = api.post(f"{PATH}:batch", json=[heavy, {}, INTENT]).json()
    assert [one["status"] for one in told["receipts"]] == ["accepted", "refused", "accepted"]


def test_many_channels__are_422(api: httpx.Client) -> None:
    """A preference names each channel once: more than there can be are not looked at."""
    body = {"*": {"channels": ["push"] * 65}}
    told = problem(api.put("/v1/users/u1/preferences", json=body), 422, "invalid")
    assert fields(told) == ["*.channels"]
