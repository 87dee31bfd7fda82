"""Collapse keys: the newest supersedes what still waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.scripts import ScriptCall
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


def test_collapse_key__of_an_old_repeat_is_not_the_newest_again(
    server: Server, found: Found
) -> None:
    """However many came between: it is there, so it supersedes nothing and begins no cooldown."""
    site = found(server, rules__cooldowns=["other=1000"])
    due = site.now() + HOUR
    old = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "old"}
    old |= {"collapse_key": "score", "due_at": due}
    site.notifier.accept(old)
    last = [told(site, "u1", collapse_key="score", due_at=due) for _ in range(25)][-1]
    assert site.notifier.accept(old).status == "duplicate"
    assert outcomes(site, last) == {"push:u1": "pending"}


def test_collapse_key__of_what_is_refused_supersedes_nothing(server: Server, found: Found) -> None:
    """Another content under the same idempotency key takes nothing from anybody."""
    site = found(server)
    due = site.now() + HOUR
    told(site, "u1", idempotency_key="once", collapse_key="score")
    waiting = told(site, "u2", collapse_key="score", due_at=due)
    other = {**PLAIN, "type": "chat", "recipients": ["u2"], "idempotency_key": "once"}
    assert site.notifier.accept({**other, "collapse_key": "score"}).status == "refused"
    assert outcomes(site, waiting) == {"push:u2": "pending"}


def test_collapse_key__of_what_was_not_accepted_supersedes_nothing(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what came before, nor a repeat of that; what comes next supersedes both."""
    site = found(server)
    due = site.now() + HOUR
    old = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "old"}
    old |= {"collapse_key": "score", "due_at": due}
    first = site.notifier.accept(old).notification_id or ""
    run_all = site.notifier._client.run_all

    def refuse(sent: Any, _: object = None) -> list[Any]:
        if not any(
            isinstance(call, ScriptCall) and call.script.name == "intent_accept" for call in sent
        ):
            return run_all(sent)
        return [RedisFault(Fault("OOM", Remedy.RETRY, "full"))] * len(sent)

    with monkeypatch.context() as patched:
        patched.setattr(site.notifier._client, "run_all", refuse)
        with pytest.raises(Unavailable):
            told(site, "u1", collapse_key="score", due_at=due)
    assert outcomes(site, first) == {"push:u1": "pending"}
    assert site.notifier.accept(old).status == "duplicate"
    assert outcomes(site, first) == {"push:u1": "pending"}
    told(site, "u1", collapse_key="score", due_at=due)
    assert outcomes(site, first) == {"push:u1": "cancelled"}


def test_collapse_key__supersedes_a_user_in_two_parts(server: Server, found: Found) -> None:
    """The routes of both channels go, whichever part they are in."""
    site = found(server, limits__max_routes=3, worker__channels=["email", "push"])
    fields: dict[str, Any] = {
        "channels": ["email", "push"],
        "due_at": site.now() + HOUR,
        "collapse_key": "score",
    }
    first = told(site, "u1", "u2", **fields)
    second = told(site, "u1", "u2", **fields)
    assert set(outcomes(site, first).values()) == {"cancelled"}
    assert set(outcomes(site, second).values()) == {"pending"}


def test_collapse_key__of_many_at_once_leaves_one(server: Server, found: Found) -> None:
    """Producers at the same moment agree on one of them, also where a user is in two parts."""
    site = found(server, worker__shards=3, limits__max_routes=3, worker__channels=["email", "push"])
    fields: dict[str, Any] = {"channels": ["email", "push"], "due_at": site.now() + HOUR}
    with ThreadPoolExecutor(4) as pool:
        for key in map(str, range(10)):
            made = list(
                pool.map(lambda key: told(site, "u1", "u2", collapse_key=key, **fields), [key] * 4)
            )
            for route in ("email:u1", "push:u1", "email:u2", "push:u2"):
                words = sorted(outcomes(site, one)[route] for one in made)
                assert words == ["cancelled"] * 3 + ["pending"], route


def test_collapse_key__of_very_many_together_leaves_the_last(server: Server, found: Found) -> None:
    """Those that were forgotten before they were accepted take themselves back as well."""
    site = found(server)
    fields = {"type": "chat", "collapse_key": "score", "due_at": site.now() + HOUR}
    receipts = site.notifier.accept_many([{**PLAIN, **fields, "recipients": ["u1"]}] * 60)
    words = [outcomes(site, receipt.notification_id or "")["push:u1"] for receipt in receipts]
    assert words == ["cancelled"] * 59 + ["pending"]
