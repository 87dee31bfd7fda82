"""Collapse keys: the newest supersedes what still waits."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.intents import PLAIN
from tests.support.rules import outcomes, told
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.wait import wait_until

Found = Callable[..., Site]
DAY = 86_400_000
HOUR = 3_600_000


def test_collapse_key__supersedes_what_still_waits(server: Server, found: Found) -> None:
    """The newest is told; what waits is cancelled for its recipients only, published stays."""
    site = found(server, worker__shards=2)
    later = site.now() + HOUR
    first = told(site, "u1", "u2", "u3", collapse_key="score", due_at=later)
    second = told(site, "u1", "u2", collapse_key="score")
    other = told(site, "u1", collapse_key="other")
    foreign = told(site, "u1", collapse_key="score", producer="another")
    assert outcomes(site, first) == {
        "push:u1": "cancelled",
        "push:u2": "cancelled",
        "push:u3": "pending",
    }
    with site.station().running():
        wait_until(lambda: set(outcomes(site, second).values()) == {"published"}, "it is told")
        wait_until(lambda: len(site.due()) == 1, "so are the others")
    third = told(site, "u1", collapse_key="score")
    for made in (second, other, foreign):
        assert set(outcomes(site, made).values()) == {"published"}
    assert outcomes(site, third) == {"push:u1": "pending"}
    line = site.route(f"{first}/push:u1").history[-1]
    assert (line.event, line.worker) == ("cancelled", f"newer {second}")


def test_collapse_key__of_a_repeat_makes_nothing_newer(server: Server, found: Found) -> None:
    """An old one handed in again stays superseded; what a dead producer left is made up for."""
    site = found(server)
    fields = {"collapse_key": "score", "due_at": site.now() + HOUR, "type": "chat"}
    old = {**PLAIN, **fields, "recipients": ["u1"], "idempotency_key": "old"}
    first = site.notifier.accept(old).notification_id or ""
    second = told(site, "u1", collapse_key="score", due_at=fields["due_at"])
    assert site.notifier.accept(old).status == "duplicate"
    assert outcomes(site, first) == {"push:u1": "cancelled"}
    assert outcomes(site, second) == {"push:u1": "pending"}
