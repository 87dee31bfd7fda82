"""Intents that name no channels go to the deployment's default, and stay the same intents."""

from __future__ import annotations

from typing import Any

from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer
from tests.support.servers import Server

BOTH = {
    "worker__channels": ["push", "in_app", "email"],
    "rules__default_channels": ["push", "in_app"],
}


def _accepted(deployment: DeploymentFixture, *users: str, **fields: Any) -> dict[str, str]:
    """Accept an intent as a producer that knows no settings; return what became of its routes."""
    with Notifier.from_url(
        deployment.settings.redis.url, prefix=deployment.settings.redis.prefix
    ) as notifier:
        receipt = notifier.accept({**PLAIN, "type": "chat", "recipients": [*users], **fields})
    return outcomes(deployment, receipt.notification_id or "")


def test_default_channels__reach_those_who_say_nothing(server: Server, deploy: Deploy) -> None:
    """They travel in Redis; a named channel, or a preferred one, takes their place."""
    deployment = deploy(server, **BOTH)
    assert deployment.client.hget(deployment.keys.meta, "default_channels") == b"push,in_app"
    assert _accepted(deployment, "u1") == {"push:u1": "pending", "in_app:u1": "pending"}
    assert _accepted(deployment, "u1", channels=["push"]) == {"push:u1": "pending"}
    prefer(deployment, "u2", every={"channels": ["email"]}, **{"in_app:type:mail": "0"})
    prefer(deployment, "u3", **{"in_app:*": "0", "in_app:type:mail": "1"})
    assert _accepted(deployment, "u1", "u2", "u3") == {
        "push:u1": "pending",
        "in_app:u1": "pending",
        "email:u2": "pending",
        "in_app:u2": "pending",
        "push:u3": "pending",
        "in_app:u3": "channel_not_wanted",
    }
    assert _accepted(deployment, "u2", "u3", type="mail") == {
        "email:u2": "pending",
        "in_app:u2": "channel_not_wanted",
        "push:u3": "pending",
        "in_app:u3": "pending",
    }


def test_default_channels__that_the_deployment_lacks_are_ignored(
    server: Server, deploy: Deploy
) -> None:
    """They disturb no intent, unless nothing is left."""
    deployment = deploy(server, rules__default_channels=["push", "in_app"])
    assert _accepted(deployment, "u1") == {"push:u1": "pending"}
    deployment.client.hset(deployment.keys.meta, "default_channels", "in_app")
    with Notifier.from_url(server.url, prefix=deployment.settings.redis.prefix) as notifier:
        refused = notifier.accept({**PLAIN, "recipients": ["u1"]}).error
    assert refused is not None
    assert refused.field == "channels[0]"
    assert refused.message == 'unknown channel "in_app" (known: push)'
    assert _accepted(deployment, "u1", channels=["push"]) == {"push:u1": "pending"}


def test_default_channels__of_an_earlier_version_are_push(server: Server, deploy: Deploy) -> None:
    """A deployment whose daemons have written nothing of them has what they had."""
    deployment = deploy(server, **BOTH)
    deployment.client.hdel(deployment.keys.meta, "default_channels")
    assert _accepted(deployment, "u1") == {"push:u1": "pending"}


def test_repeat__under_other_default_channels_is_a_duplicate(
    server: Server, deploy: Deploy
) -> None:
    """The same key and contents: nothing is created, in no part, whether or not rules are read."""
    deployment = deploy(server, worker__channels=["push", "in_app"], limits__max_routes=10)
    users = [f"u{number:02}" for number in range(25)]
    keyed = {**PLAIN, "recipients": users, "idempotency_key": "k"}
    first = deployment.notifier.accept(keyed)
    assert (first.status, first.routes, first.parts) == ("accepted", 25, 3)
    for default in ("push,in_app", "in_app"):
        deployment.client.hset(deployment.keys.meta, "default_channels", default)
        with Notifier.from_url(server.url, prefix=deployment.settings.redis.prefix) as other:
            again = other.accept(keyed)
            named = other.accept({**keyed, "channels": ["push"]})
            conflict = other.accept_many([{**keyed, "channels": ["push", "in_app"]}])
        assert (again.status, again.parts) == ("duplicate", 3)
        assert named.status == "duplicate"
        assert [receipt.status for receipt in conflict] == ["refused"]
        assert len(deployment.routes()) == 25
        prefer(deployment, "u01", silenced="1")


def test_large_intent__has_all_routes_of_a_recipient_in_one_part(
    server: Server, deploy: Deploy
) -> None:
    """So rules see all channels of a user together; a part that got lost is completed."""
    deployment = deploy(server, **BOTH, limits__max_routes=10, worker__shards=2)
    users = [f"u{number:02}" for number in range(25)]
    prefer(deployment, "u12", every={"channels": ["email"]})
    keyed = {**PLAIN, "recipients": [*reversed(users), "u03"], "idempotency_key": "k"}
    receipt = deployment.notifier.accept(keyed)
    assert (receipt.routes, receipt.parts) == (50, 3)
    made = id_for_key(PLAIN["producer"], "k")
    of_part: dict[str, set[str]] = {}
    for member in deployment.routes():
        part, _, route = member.partition("/")
        of_part.setdefault(part, set()).add(route.partition(":")[2])
    assert of_part == {
        made: {*users[:10]},
        f"{made}.2": {*users[10:20]},
        f"{made}.3": {*users[20:]},
    }
    wanted = {f"{channel}:{user}" for user in users for channel in ("push", "in_app")}
    assert {*outcomes(deployment, made)} == wanted - {"push:u12"} | {"email:u12"}


def test_large_intent__of_several_default_channels_fits_one_call(
    server: Server, deploy: Deploy
) -> None:
    """A full part of many channels is more routes than a script can unpack at once."""
    names = [f"c{number}" for number in range(8)]
    deployment = deploy(server, worker__channels=names, rules__default_channels=names)
    receipt = deployment.notifier.accept(
        {**PLAIN, "recipients": [f"u{number:04}" for number in range(1000)]}
    )
    assert (receipt.status, receipt.routes, receipt.parts) == ("accepted", 8000, 1)
    assert len(deployment.due("c7")) == 1000


def test_defaults__are_those_that_are_deployed() -> None:
    """In their order, whatever else is named."""
    shared = SharedSettings(channels=("push", "in_app"), default_channels=("fax", "in_app", "push"))
    assert shared.defaults == ("in_app", "push")
