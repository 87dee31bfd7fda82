"""``show``: every route of a notification, its history, and why it is where it is."""

from __future__ import annotations

import time
from typing import Any

from galaxy_notify.model.route import Failure
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.settlement import RetryLater, Settlement
from tests.support.command import CommandLine
from tests.support.dead_letters import WORKER, DeadLetterFixture
from tests.support.intents import PLAIN as INTENT

KEYS = ["notification_id", "type", "producer", "severity", "created_at_ms", "due_at_ms"]
KEYS += ["expires_at_ms", "request_id", "trace_id", "open", "ttl_ms", "parts", "routes"]
ROUTE_KEYS = ["route_id", "status", "generation", "attempts", "max_attempts", "due_at_ms"]
ROUTE_KEYS += ["lease", "failure", "stream_id", "why", "history"]
HISTORY_KEYS = ["at_ms", "event", "worker", "attempt", "class", "message", "stream_id"]


def only_route(command: CommandLine, name: str) -> Any:
    """Return the one route that show tells of."""
    (route,) = command.told("show", name)["routes"]
    return route


def test_show__has_exactly_the_agreed_shape(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Every agreed key is there, in order, for the notification, its routes and their history."""
    (made,) = command.accept({**INTENT, "recipients": ["u1", "u2"], "data": {"secret": 1}})
    told = command.told("show", made)
    assert list(told) == KEYS
    assert [route["route_id"] for route in told["routes"]] == ["push:u1", "push:u2"]
    for route in told["routes"]:
        assert list(route) == ROUTE_KEYS
        assert [list(line) for line in route["history"]] == [HISTORY_KEYS]
    assert (told["open"], told["parts"], told["ttl_ms"]) == (2, 1, None)
    assert (told["type"], told["severity"]) == ("game.ready", "info")
    assert told["routes"][0]["max_attempts"] == 8
    assert "secret" not in str(told)


def test_show__the_data_only_when_asked(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """What a notification says is shown with ``--payload`` only, and cannot steer a terminal."""
    (made,) = command.accept({**INTENT, "title": "\x1b[2J", "data": {"secret": 1}})
    assert command.told("show", made, "--payload")["payload"]["data"] == {"secret": 1}
    assert "secret" not in command.run("show", made).stdout
    shown = command.run("show", made, "--payload").stdout
    assert '"secret": 1' in shown
    assert "\x1b" not in shown


def test_show__takes_every_kind_of_id(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A notification, a route or an event is named; what is unknown is 3."""
    (made,) = command.accept({**INTENT, "recipients": ["u1", "u2"]})
    for name in (f"{made}/push:u1", f"{made}/push:u1#2"):
        assert only_route(command, name)["route_id"] == "push:u1"
    for name in ("0" * 32, f"{made}/push:u3", "no id", f"{made}.2"):
        done = command.run("show", name)
        assert (done.exit_code, done.stdout) == (3, "")


def test_show__a_large_one_over_all_parts(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A notification in parts is shown as one; a route is found in whatever part it is."""
    (made,) = command.accept({**INTENT, "recipients": [f"u{n}" for n in range(2500)]})
    told = command.told("show", made)
    assert (told["parts"], told["open"], len(told["routes"])) == (3, 2500, 2500)
    assert only_route(command, f"{made}/push:u999")["status"] == "pending"
    assert len(command.told("show", f"{made}.3")["routes"]) == 500
    assert "2,480 more routes" in command.run("show", made).stdout


def test_why__says_what_a_route_waits_for(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A route that does not move is explained: time, pause, workers, the stream."""
    later = int(time.time() * 1000) + 3_600_000
    (made,) = command.accept({**INTENT, "due_at": later})
    assert only_route(command, made)["why"].startswith("due in 59 min")
    (made,) = command.accept(INTENT)
    why = only_route(command, made)["why"]
    assert why.startswith("due for ")
    assert "no worker is alive: start `galaxy-notify run`" in why
    command.run("pause", "push")
    assert "`galaxy-notify resume push`" in only_route(command, made)["why"]
    keys = deployment.key_space.keys(0)
    deployment.client.set(keys.stream, "no stream")
    assert f"stream {keys.stream} refuses writes" in only_route(command, made)["why"]
    deployment.client.zrem(keys.schedule("push"), f"{made}/user-7", f"{made}/push:user-7")
    assert "galaxy-notify fsck --fix" in only_route(command, made)["why"]


def test_why__names_who_holds_a_lease(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A leased route tells by whom, for how long, and that the holder is gone."""
    made = deployment.accept()
    claimed = deployment.claim("push", 0)
    assert claimed is not None
    route = only_route(command, made)
    assert route["status"] == "pending"
    assert route["lease"]["worker"] == WORKER
    assert route["lease"]["abandoned"] == 0
    assert route["lease"]["lapses_at_ms"] == claimed.now_ms + 30_000
    assert route["why"].startswith(f"leased by {WORKER} (no longer alive) for another")


def test_why__tells_of_failures(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A retry tells when and after what; a dead letter tells its reason and how to replay it."""
    made = deployment.accept()
    member = f"{made}/push:u1"
    claimed = deployment.claim("push", 0)
    assert claimed is not None
    settlement = Settlement()
    state = deployment.route(member).failed(WORKER, Failure("payload_encoding_failed", "no codec"))
    settlement.add(RetryLater(member.encode(), state, 60_000))
    run_sync(
        deployment.client, settlement.call(deployment.key_space.keys(0), "push", claimed.token)
    )
    route = only_route(command, made)
    assert (route["status"], route["attempts"]) == ("failed", 1)
    assert route["failure"]["class"] == "payload_encoding_failed"
    assert route["why"].startswith("attempt 2 of 8 in ")
    (dead,) = deployment.bury()
    route = only_route(command, dead)
    assert route["status"] == "dead_letter"
    assert [line["event"] for line in route["history"]] == ["accepted", "dead-lettered"]
    assert f"`galaxy-notify dead replay {dead}`" in route["why"]


def test_why__tells_how_it_ended(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A route that is final tells how and by whom; the notification tells how long it is kept."""
    (made,) = command.accept(INTENT)
    command.run("cancel", made)
    told = command.told("show", made)
    assert told["routes"][0]["why"].startswith("cancelled ")
    assert " by cli:" in told["routes"][0]["why"]
    assert 0 < told["ttl_ms"] <= 3_600_000
    assert told["open"] == 0


def test_show__survives_what_cannot_be_read(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A broken record or state is told as such; nothing raises."""
    made = deployment.accept()
    key, route_id = deployment.record(f"{made}/push:u1")
    deployment.client.hset(key, mapping={route_id: "rubbish", "record": "rubbish"})
    told = command.told("show", made)
    assert (told["type"], told["created_at_ms"]) == ("", None)
    assert told["routes"][0]["status"] == "corrupt"
    assert command.run("show", made).exit_code == 0
    assert command.told("show", made, "--payload")["payload"] is None


def test_attempts__are_counted_as_the_history_counts_them(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """The first attempt is 1 in both, also where nothing follows it; a replay begins again."""
    (dead,) = deployment.bury(number=1)
    route = only_route(command, dead)
    assert route["attempts"] == route["history"][-1]["attempt"] == 1
    assert command.told("dead", "ls")["attempts"] == 1
    assert "attempts  1 in generation 1" in command.run("dead", "show", dead).stdout
    assert command.run("dead", "replay", dead).exit_code == 0
    assert only_route(command, dead)["attempts"] == 0
