"""What may be pushed: the field of what may not is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from galaxy_notify.errors import InvalidPush
from galaxy_notify.realtime.pushing import DATA_BYTES_MAX, USERS_MAX, checked_push, checked_pushes
from galaxy_notify.redis_state.inbox import Push


def test_push__is_checked_once_for_all_users() -> None:
    """Each user has it once, as JSON on one line."""
    data = {"at": [1, None, "ü\n"], "on": True}
    found = checked_pushes(iter(["u1", "u2", "u1"]), "typing", data)
    assert found == [
        Push(user, "typing", '{"at":[1,null,"ü\\n"],"on":true}') for user in ("u1", "u2")
    ]
    assert checked_pushes([], "typing", {}) == []


MANY = [f"u{number}" for number in range(USERS_MAX + 1)]


@pytest.mark.parametrize(
    ("users", "kind", "data", "field", "code"),
    [
        (["u1"], "", {}, "type", "invalid"),
        (["u1"], "a b", {}, "type", "invalid"),
        (["u1"], 7, {}, "type", "invalid"),
        (["u1", "no user"], "t", {}, "users[1]", "invalid"),
        (["u1", None], "t", {}, "users[1]", "invalid"),
        ("u1", "t", {}, "users", "invalid"),
        (MANY, "t", {}, "users", "too_large"),
        (["u1"], "t", [1], "data", "invalid"),
        (["u1"], "t", {"a": {"b": float("nan")}}, "data.a.b", "invalid"),
        (["u1"], "t", {"a": object()}, "data.a", "invalid"),
        (["u1"], "t", {"a": "x" * DATA_BYTES_MAX}, "data", "too_large"),
    ],
)
def test_push__that_is_invalid_names_the_field(
    users: Iterable[Any], kind: Any, data: Any, field: str, code: str
) -> None:
    """Nothing of it is sent."""
    with pytest.raises(InvalidPush) as raised:
        checked_pushes(users, kind, data)
    assert (raised.value.field, raised.value.code) == (field, code)
    assert str(raised.value).startswith(f"{field}: ")


def test_push__to_one_user_names_the_user() -> None:
    """There is no list in which it has a place."""
    with pytest.raises(InvalidPush, match="user: must"):
        checked_push("no user", "t", {})
    assert checked_push("u1", "t", {}) == Push("u1", "t", "{}")
