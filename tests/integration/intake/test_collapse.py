"""Collapse keys: the newest supersedes what still waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.scripts import ScriptCall
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, told
from tests.support.servers import Server
from tests.support.wait import wait_until

DAY = 86_400_000
HOUR = 3_600_000


def test_collapse_key__supersedes_what_still_waits(server: Server, deploy: Deploy) -> None:
    """The newest is told; what waits is cancelled for its recipients only, published stays."""
    deployment = deploy(server, worker__shards=2)
    later = deployment.now() + HOUR
    first = told(deployment, "u1", "u2", "u3", collapse_key="score", due_at=later)
    second = told(deployment, "u1", "u2", collapse_key="score")
    other = told(deployment, "u1", collapse_key="other")
    foreign = told(deployment, "u1", collapse_key="score", producer="another")
    assert outcomes(deployment, first) == {
        "push:u1": "cancelled",
        "push:u2": "cancelled",
        "push:u3": "pending",
    }
    with deployment.worker_harness().running():
        wait_until(
            lambda: set(outcomes(deployment, second).values()) == {"published"}, "it is told"
        )
        wait_until(lambda: len(deployment.due()) == 1, "so are the others")
    third = told(deployment, "u1", collapse_key="score")
    for made in (second, other, foreign):
        assert set(outcomes(deployment, made).values()) == {"published"}
    assert outcomes(deployment, third) == {"push:u1": "pending"}
    line = deployment.route(f"{first}/push:u1").history[-1]
    assert (line.event, line.worker) == ("cancelled", f"newer {second}")


def test_collapse_key__of_a_repeat_makes_nothing_newer(server: Server, deploy: Deploy) -> None:
    """An old one handed in again stays superseded; what a dead producer left is made up for."""
    deployment = deploy(server)
    fields = {"collapse_key": "score", "due_at": deployment.now() + HOUR, "type": "chat"}
    old = {**PLAIN, **fields, "recipients": ["u1"], "idempotency_key": "old"}
    first = deployment.notifier.accept(old).notification_id or ""
    second = told(deployment, "u1", collapse_key="score", due_at=fields["due_at"])
    assert deployment.notifier.accept(old).status == "duplicate"
    assert outcomes(deployment, first) == {"push:u1": "cancelled"}
    assert outcomes(deployment, second) == {"push:u1": "pending"}


def test_collapse_key__of_an_old_repeat_is_not_the_newest_again(
    server: Server, deploy: Deploy
) -> None:
    """However many came between: it is there, so it supersedes nothing and begins no cooldown."""
    deployment = deploy(server, rules__cooldowns=["other=1000"])
    due = deployment.now() + HOUR
    old = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "old"}
    old |= {"collapse_key": "score", "due_at": due}
    deployment.notifier.accept(old)
    last = [told(deployment, "u1", collapse_key="score", due_at=due) for _ in range(25)][-1]
    assert deployment.notifier.accept(old).status == "duplicate"
    assert outcomes(deployment, last) == {"push:u1": "pending"}


def test_collapse_key__of_what_is_refused_supersedes_nothing(
    server: Server, deploy: Deploy
) -> None:
    """Another content under the same idempotency key takes nothing from anybody."""
    deployment = deploy(server)
    due = deployment.now() + HOUR
    told(deployment, "u1", idempotency_key="once", collapse_key="score")
    waiting = told(deployment, "u2", collapse_key="score", due_at=due)
    other = {**PLAIN, "type": "chat", "recipients": ["u2"], "idempotency_key": "once"}
    assert deployment.notifier.accept({**other, "collapse_key": "score"}).status == "refused"
    assert outcomes(deployment, waiting) == {"push:u2": "pending"}


def test_collapse_key__of_what_was_not_accepted_supersedes_nothing(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what came before, nor a repeat of that; what comes next supersedes both."""
    deployment = deploy(server)
    due = deployment.now() + HOUR
    old = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "old"}
    old |= {"collapse_key": "score", "due_at": due}
    first = deployment.notifier.accept(old).notification_id or ""
    run_all = deployment.notifier._client.run_all

    def refuse(sent: Any, _: object = None) -> list[Any]:
        if not any(
            isinstance(call, ScriptCall) and call.script.name == "intent_accept" for call in sent
        ):
            return run_all(sent)
        return [RedisFault(Fault("OOM", Remedy.RETRY, "full"))] * len(sent)

    with monkeypatch.context() as patched:
        patched.setattr(deployment.notifier._client, "run_all", refuse)
        with pytest.raises(Unavailable):
            told(deployment, "u1", collapse_key="score", due_at=due)
    assert outcomes(deployment, first) == {"push:u1": "pending"}
    assert deployment.notifier.accept(old).status == "duplicate"
    assert outcomes(deployment, first) == {"push:u1": "pending"}
    told(deployment, "u1", collapse_key="score", due_at=due)
    assert outcomes(deployment, first) == {"push:u1": "cancelled"}


def test_collapse_key__supersedes_a_user_in_two_parts(server: Server, deploy: Deploy) -> None:
    """The routes of both channels go, whichever part they are in."""
    deployment = deploy(server, limits__max_routes=3, worker__channels=["email", "push"])
    fields: dict[str, Any] = {
        "channels": ["email", "push"],
        "due_at": deployment.now() + HOUR,
        "collapse_key": "score",
    }
    first = told(deployment, "u1", "u2", **fields)
    second = told(deployment, "u1", "u2", **fields)
    assert set(outcomes(deployment, first).values()) == {"cancelled"}
    assert set(outcomes(deployment, second).values()) == {"pending"}


def test_collapse_key__of_many_at_once_leaves_one(server: Server, deploy: Deploy) -> None:
    """Producers at the same moment agree on one of them, also where a user is in two parts."""
    deployment = deploy(
        server, worker__shards=3, limits__max_routes=3, worker__channels=["email", "push"]
    )
    fields: dict[str, Any] = {"channels": ["email", "push"], "due_at": deployment.now() + HOUR}
    with ThreadPoolExecutor(4) as pool:
        for key in map(str, range(10)):
            made = list(
                pool.map(
                    lambda key: told(deployment, "u1", "u2", collapse_key=key, **fields), [key] * 4
                )
            )
            for route in ("email:u1", "push:u1", "email:u2", "push:u2"):
                words = sorted(outcomes(deployment, one)[route] for one in made)
                assert words == ["cancelled"] * 3 + ["pending"], route


def test_collapse_key__of_very_many_together_leaves_the_last(
    server: Server, deploy: Deploy
) -> None:
    """Those that were forgotten before they were accepted take themselves back as well."""
    deployment = deploy(server)
    fields = {"type": "chat", "collapse_key": "score", "due_at": deployment.now() + HOUR}
    receipts = deployment.notifier.accept_many([{**PLAIN, **fields, "recipients": ["u1"]}] * 60)
    words = [outcomes(deployment, receipt.notification_id or "")["push:u1"] for receipt in receipts]
    assert words == ["cancelled"] * 59 + ["pending"]
