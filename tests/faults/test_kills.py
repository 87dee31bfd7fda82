"""Daemons that are killed, wherever they are: another one carries on, once and in time."""

from __future__ import annotations

from tests.faults.conftest import NewArena
from tests.support.wait import wait_until


def test_row02__killed_between_claim_and_settle(any_arena: NewArena) -> None:
    """What a daemon had claimed when it died is published by the next, each route once."""
    arena = any_arena()
    arena.hand_in(200)
    doomed = arena.daemon("after_claim:kill")
    wait_until(lambda: doomed.process.poll() is not None, "it has died", 15)
    arena.daemon()
    arena.wait_until_over()
    assert arena.assert_kept().abandoned > 0
