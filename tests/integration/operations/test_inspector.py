"""`Inspector`: the values of the commands' JSON, filters and pages."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from galaxy_notify import (
    Inspector,
    InvalidQuery,
    Unavailable,
)
from galaxy_notify.inspector import DeadLetter
from galaxy_notify.operations import dead_letters
from tests.support.command import CommandLine
from tests.support.dead_letters import Kind, dead_letter_fixture
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server

UNKNOWN = "0" * 32


def as_json(value: Any) -> Any:
    """Return a value as its command prints it."""

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {"class" if name == "failure_class" else name: one for name, one in pairs}

    return json.loads(json.dumps(dataclasses.asdict(value, dict_factory=named)))


def printed(command: CommandLine, *words: str) -> list[Any]:
    """Return the documents that a command prints."""
    done = command.run(*words, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment with something of every kind: waiting, published, cancelled, dead."""

    def encode(notification: Any, _: Any) -> bytes:
        if notification.type == "bad":
            raise ValueError("no codec")
        return bytes(notification.packed)

    made = deploy(server, worker__channels=["push", "email"], worker__shards=2)
    notifier = made.notifier
    notifier.accept({**PLAIN, "type": "good", "data": {"turn": 1}})
    notifier.accept({**PLAIN, "type": "bad", "recipients": ["u1", "u2"]})
    harness = made.worker_harness(encode)
    for shard in range(2):
        while harness.step(shard):
            pass
    notifier.accept(
        {**PLAIN, "type": "later", "channels": ["email"], "due_at": "2090-01-01T00:00:00Z"}
    )
    cancelled = notifier.accept({**PLAIN, "type": "gone"})
    notifier.cancel(str(cancelled.notification_id))
    return made


@pytest.fixture
def inspector(server: Server) -> Any:
    """Give an inspector of the server."""
    with Inspector.from_url(server.url) as made:
        yield made


def test_values__are_what_the_commands_print(
    deployment: DeploymentFixture, server: Server, inspector: Inspector
) -> None:
    """Field by field: list, show with its payload, and dead letters; status but for its moments."""
    command = CommandLine(server.url, {"WORKER__SHARDS": "2", "WORKER__CHANNELS": "push,email"})
    items = inspector.list().items
    assert [as_json(item) for item in items] == printed(command, "list")
    assert {item.type for item in items} == {"good", "bad", "later", "gone"}
    for item in items:
        shown = inspector.show(item.notification_id, payload=True)
        (document,) = printed(command, "show", item.notification_id, "--payload")
        # What is said of times moves on between the two.
        told = as_json(shown)
        for route in (*told["routes"], *document["routes"]):
            del route["why"]
        for ttl in (told, document):
            ttl["ttl_ms"] = ttl["ttl_ms"] is None
        assert told == document
    letters = inspector.dead_letters().items
    assert [as_json(letter) for letter in letters] == printed(command, "dead", "ls")
    assert len(letters) == 2
    (status,) = printed(command, "status")
    found = as_json(inspector.status())
    streams = [*status["streams"].values(), *found["streams"].values()]
    assert all(stream.pop("error", "") == "" for stream in streams)
    assert found["redis"].pop("uptime_s") is not None
    for document in (status, found):
        del document["at_ms"]
        document["redis"].pop("uptime_s", None)
    assert found == status


def test_show__of_one_route_and_of_what_is_unknown(
    deployment: DeploymentFixture, inspector: Inspector
) -> None:
    """A route's and an event's id show that route; what is unknown or no id is None."""
    (event,) = [item for item in inspector.list().items if item.type == "good"]
    whole = inspector.show(event.notification_id)
    assert whole is not None
    (route,) = whole.routes
    shown = inspector.show(f"{event.notification_id}/{route.route_id}#2")
    assert shown is not None
    assert (shown.routes[0].status, shown.payload) == ("published", None)
    assert shown.routes[0].history[-1].stream_id == shown.routes[0].stream_id
    for unknown in (UNKNOWN, f"{event.notification_id}/push:nobody", "no id", ""):
        assert inspector.show(unknown) is None


def test_list__takes_the_filters_of_the_command(
    deployment: DeploymentFixture, inspector: Inspector
) -> None:
    """One word or several, users and times; pages by a cursor."""

    def types(**query: Any) -> set[str | None]:
        return {item.type for item in inspector.list(**query).items}

    assert types(state="open") == {"bad", "later"}
    assert types(state=["published", "cancelled"]) == {"good", "gone"}
    assert types(type="good", producer="lobby") == {"good"} == types(type=("good", "none"))
    assert types(user="u2") == {"bad"}
    assert types(since="1h", until="2090-01-01T00:00:00Z") == {"good", "bad", "later", "gone"}
    assert types(until=1_500_000_000_000) == set()
    first = inspector.list(limit=3)
    assert first.cursor is not None
    second = inspector.list(limit=3, cursor=first.cursor)
    assert [len(first.items), len(second.items), second.cursor] == [3, 1, None]
    assert len({item.notification_id for item in (*first.items, *second.items)}) == 4


@pytest.mark.parametrize(
    ("call", "query", "field"),
    [
        ("list", {"state": "lost"}, "state"),
        ("list", {"user": "no user"}, "user"),
        ("list", {"limit": 101}, "limit"),
        ("list", {"since": "yesterday"}, "since"),
        ("list", {"until": True}, "until"),
        ("list", {"cursor": "none"}, "cursor"),
        ("dead_letters", {"channel": "fax"}, "channel"),
        ("dead_letters", {"failure_class": "bad_luck"}, "class"),
        ("dead_letters", {"limit": 0}, "limit"),
        ("dead_letters", {"cursor": "bm9uZQ=="}, "cursor"),
        ("dead_letters", {"cursor": "MDEgYQ=="}, "cursor"),
        ("dead_letters", {"cursor": "é"}, "cursor"),
    ],
)
def test_query__that_cannot_be_asked_names_its_place(
    deployment: DeploymentFixture,
    inspector: Inspector,
    call: str,
    query: dict[str, Any],
    field: str,
) -> None:
    """It is refused by field, and a keyword that does not exist as Python does it."""
    with pytest.raises(InvalidQuery) as error:
        getattr(inspector, call)(**query)
    assert error.value.field == field
    with pytest.raises(TypeError, match="unexpected keyword argument 'kind'"):
        getattr(inspector, call)(kind="t")


def test_dead_letters__come_once_each_from_page_to_page(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of one millisecond, whatever leaves meanwhile; the oldest first, by filter."""
    with dead_letter_fixture(server) as letters, Inspector.from_url(server.url) as inspector:
        members = letters.bury(("push:u1", "push:u2", "push:u3"), number=6)
        key = letters.key_space.keys(0).dead("push")
        letters.client.zadd(key, dict.fromkeys(members[:15], 1000))
        (last,) = letters.bury(kind=Kind(type="other"))
        letters.client.zadd(key, {last: 9_000_000_000_000})
        found: list[DeadLetter] = []
        page = inspector.dead_letters(limit=4)
        while True:
            found += page.items
            if page.cursor is None:
                break
            # One that was read goes, and every later one still comes.
            letters.client.zrem(key, found[-1].id)
            page = inspector.dead_letters(limit=4, cursor=page.cursor)
        assert sorted(letter.id for letter in found) == sorted([*members, last])
        assert [letter.dead_at_ms for letter in found[:15]] == [1000] * 15
        # A page that looked at enough ends, found anything or not.
        monkeypatch.setattr(dead_letters, "MOST_LOOKED", 5)
        page, pages = inspector.dead_letters(type="other", channel="push"), 1
        while page.cursor is not None and not page.items:
            page = inspector.dead_letters(type="other", cursor=page.cursor)
            pages += 1
        assert [letter.type for letter in page.items] == ["other"]
        assert pages == 3
        assert inspector.dead_letters(failure_class="record_missing").items == ()


def test_inspector__sees_what_a_daemon_has_changed_since(server: Server, deploy: Deploy) -> None:
    """Channels that were added are read by the next call; a deployment that is not there is not."""
    with Inspector.from_url(server.url) as inspector:
        with pytest.raises(Unavailable, match="no deployment at this prefix"):
            inspector.status()
        deployment = deploy(server)
        assert [*inspector.status().channels] == ["push"]
        deployment.client.hset(deployment.keys.meta, "channels", "push,email")
        assert [*inspector.status().channels] == ["push", "email"]
