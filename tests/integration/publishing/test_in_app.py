"""Whether a user has a notification in the feed too, by its routes, in whichever part they lie."""

from __future__ import annotations

from typing import Any

from galaxy_notify.model.ids import part_id
from galaxy_notify.model.notification import decode_notification
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state import in_app
from galaxy_notify.redis_state.in_app import has_in_app
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.rules import prefer
from tests.support.servers import Server

CHANNELS = ["push", "in_app", "email", "webhook"]


def _has(deployment: DeploymentFixture, made: str, user: str, *, part: int = 1) -> bool:
    raw: Any = deployment.client.hget(
        deployment.key_space.keys_for(made).notification(made), "record"
    )
    parts = decode_notification(made, raw).parts
    flow = has_in_app(deployment.key_space, part_id(made, part), parts, user)
    return run_flow_sync(deployment.client, flow)


def _notify(deployment: DeploymentFixture, *users: str, **fields: Any) -> str:
    return deployment.notify(*users, channels=["email", "in_app"], **fields)


def test_in_app__of_the_same_user(server: Server, deploy: Deploy) -> None:
    """Not that of another one, nor another channel."""
    deployment = deploy(server, worker__channels=CHANNELS)
    made = _notify(deployment, "u1")
    assert _has(deployment, made, "u1")
    assert not _has(deployment, made, "u2")
    other = deployment.notify("u1", channels=["email", "push"])
    assert not _has(deployment, other, "u1")


def test_in_app__that_never_gets_there(server: Server, deploy: Deploy) -> None:
    """A route that a rule skips, or that is cancelled, is none; a published one is."""
    deployment = deploy(server, worker__channels=CHANNELS)
    prefer(deployment, "u1", **{"in_app:*": "0"})
    made = _notify(deployment, "u1", "u2", "u3")
    deployment.notifier.cancel(f"{made}/in_app:u3")
    harness = deployment.worker_harness(worker__channels=CHANNELS)
    while deployment.due("in_app"):
        harness.step()
    assert [_has(deployment, made, user) for user in ("u1", "u2", "u3")] == [False, True, False]


def test_in_app__in_another_part(server: Server, deploy: Deploy) -> None:
    """An intent that names its channels is cut by route, not by user."""
    deployment = deploy(server, worker__channels=CHANNELS, worker__shards=3, limits__max_routes=10)
    users = [f"u{number:02}" for number in range(25)]
    made = deployment.notify(*users, channels=["email", "in_app", "webhook"])
    parts = {member.partition("/")[0] for member in deployment.routes()}
    assert len(parts) == 8
    for user in users:
        for member in deployment.routes():
            part, _, route = member.partition("/")
            if route == f"webhook:{user}":
                number = int(part.partition(".")[2] or 1)
                assert _has(deployment, made, user, part=number)
                assert not _has(deployment, made, f"{user}x", part=number)


def test_in_app__of_what_is_gone_may_have_been(
    server: Server, deploy: Deploy, monkeypatch: Any
) -> None:
    """Where a part is kept no longer, or there are too many, the feed is what knows."""
    deployment = deploy(server, worker__channels=CHANNELS, limits__max_routes=2)
    made = deployment.notify("u1", "u2", "u3", channels=["email", "push"])
    assert not _has(deployment, made, "u1", part=3)
    monkeypatch.setattr(in_app, "MOST_PARTS", 2)
    assert _has(deployment, made, "u1", part=3)
    monkeypatch.undo()
    gone = part_id(made, 2)
    deployment.client.delete(deployment.key_space.keys_for(gone).notification(gone))
    assert _has(deployment, made, "u1", part=3)
