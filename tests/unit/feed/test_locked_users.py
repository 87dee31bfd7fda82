"""Users that are locked: when each is tried again."""

from __future__ import annotations

from galaxy_notify.feed.locked_users import LockedUsers


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_locked_users__rest_and_are_due() -> None:
    """A locked user rests for half a second at most, then is due, and stays known."""
    clock = _Clock()
    users = LockedUsers(clock)
    users.add(["u1"])
    assert "u1" in users
    assert not users.is_due("u1")
    clock.now = 0.5
    assert users.is_due("u1")
    assert "u1" in users
    assert "u2" not in users


def test_locked_users__rest_longer_each_time() -> None:
    """The pauses grow, up to five seconds."""
    clock = _Clock()
    users = LockedUsers(clock)
    for _ in range(12):
        users.add(["u1"])
    clock.now = 0.4
    assert not users.is_due("u1")
    clock.now = 5.0
    assert users.is_due("u1")


def test_locked_users__begin_again_once_they_were_free() -> None:
    """Who was written is known no more."""
    clock = _Clock()
    users = LockedUsers(clock)
    users.add(["u1", "u2"])
    users.discard(["u1", "u3"])
    assert "u1" not in users
    assert "u2" in users
