"""Endings that could not be recorded: found again by the member in the very state."""

from __future__ import annotations

import pytest

from galaxy_notify.channels import known_endings
from galaxy_notify.channels.endings import Ending
from galaxy_notify.channels.known_endings import KnownEndings
from galaxy_notify.redis_state.leases import ClaimedMember
from galaxy_notify.redis_state.settlement import Release


def _claimed(member: bytes = b"n/mine:u1", state: bytes = b"1p") -> ClaimedMember:
    return ClaimedMember(member, state)


def test_take__returns_an_ending_once() -> None:
    """It is recorded then; the same member is worked when it comes again."""
    known, ending = KnownEndings(), Ending(Release(b"n/mine:u1", 0))
    known.keep(_claimed(), ending)
    assert known.take(_claimed()) is ending
    assert known.take(_claimed()) is None


def test_take__knows_nothing_of_another_state() -> None:
    """Another process has worked it meanwhile, or it was replayed."""
    known = KnownEndings()
    known.keep(_claimed(), Ending(Release(b"n/mine:u1", 0)))
    assert known.take(_claimed(state=b"1f")) is None
    assert known.take(_claimed(member=b"n/mine:u2")) is None


def test_keep__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(known_endings, "_KEPT", 2)
    known = KnownEndings()
    for number in range(3):
        member = b"n/mine:%d" % number
        known.keep(_claimed(member), Ending(Release(member, 0)))
    gone = [known.take(_claimed(b"n/mine:%d" % number)) is None for number in range(3)]
    assert gone == [True, False, False]
