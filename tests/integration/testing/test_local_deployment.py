"""`galaxy_notify.testing`: it says what a deployment on a server says, by its own clock."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import pytest

from galaxy_notify import ConfigurationError, Inspector, Intent, Notifier, TransientEncodingError
from galaxy_notify.gateway import Event
from galaxy_notify.gateway.event import decode_event
from galaxy_notify.inspector import DeadLetter
from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.deployment import server_now
from galaxy_notify.testing import LocalDeployment, deployment
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.wait import wait_until

SECTIONS: Mapping[str, Any] = {
    "worker": {"channels": ["push", "email"], "shards": 2},
    "retry": {"max_attempts": 2, "backoff_min_ms": 1, "jitter": "none"},
    "rules": {"cooldowns": ["alert=60000"]},
}


def encode(notification: Any, _: Any) -> bytes:
    """Encode as a user's encoder that fails, for good or for a while."""
    if notification.type == "bad":
        raise ValueError("no codec")
    if notification.type == "flaky":
        raise TransientEncodingError("busy")
    return bytes(notification.packed)


class Deployment(Protocol):
    """What the story is told to: an imitation, or the real thing."""

    @property
    def notifier(self) -> Notifier: ...
    @property
    def inspector(self) -> Inspector: ...
    def publish_due(self) -> int: ...
    def advance(self, *, ms: int) -> None: ...
    def events(self, user: str | None = None) -> list[Event]: ...
    def dead_letters(self) -> list[DeadLetter]: ...


class OnServer:
    """A deployment on a server: time passes by itself."""

    def __init__(self, deployment: DeploymentFixture) -> None:
        self.notifier = deployment.notifier
        self.inspector = Inspector(deployment.settings)
        self._deployment = deployment
        self._harness = deployment.worker_harness(encode, name="testing")

    def publish_due(self) -> int:
        """Step each shard until nothing is due."""
        before = len(self.events())
        for shard in range(len(self._harness.shards)):
            while self._harness.step(shard):
                pass
        return len(self.events()) - before

    def advance(self, *, ms: int) -> None:
        """Wait until the server's time is so much later."""
        until = server_now(self._deployment.connected) + ms
        wait_until(lambda: server_now(self._deployment.connected) > until, "time passes")

    def events(self, user: str | None = None) -> list[Event]:
        """Read the entries of all streams."""
        found = []
        for keys in self._deployment.key_space.all_keys:
            entries: Any = self._deployment.client.xrange(keys.stream)
            found += [
                decode_event(Entry(stream_id.decode(), fields, 1), keys.stream, keys.shard)
                for stream_id, fields in entries
            ]
        return [event for event in found if user in (None, event.user_id)]

    def dead_letters(self) -> list[DeadLetter]:
        """Read the first page."""
        return [*self.inspector.dead_letters().items]


def story(on: Deployment) -> dict[str, Any]:
    """Hand in something of every kind, publish, let time pass; return all that is seen of it."""
    notifier = on.notifier
    notifier.preferences.silence("user-9")

    def intent(key: str, **fields: Any) -> dict[str, Any]:
        return {**PLAIN, "idempotency_key": key, **fields}

    receipts = [
        notifier.accept(
            Intent(**intent("one", recipients=["user-7", "user-8"], title="Your turn"))
        ),
        *notifier.accept_many(
            [
                intent("one", recipients=["user-7", "user-8"], title="Your turn"),
                intent("one", title="something else"),
                intent("two", channels=["fax"]),
                intent("bad", type="bad"),
                intent("flaky", type="flaky", channels=["email"]),
                intent("silent", recipients=["user-9", "user-7"], data={"n": [1, None, "é"]}),
                intent("warm", type="alert"),
                intent("cool", type="alert"),
                intent("gone"),
                intent("later", due_at="2099-01-01T00:00:00Z"),
            ]
        ),
    ]
    gone = receipts[-2].notification_id
    assert gone is not None
    seen: dict[str, Any] = {"receipts": receipts, "cancelled": notifier.cancel(gone)}
    seen["published"] = [on.publish_due(), on.publish_due()]
    on.advance(ms=5)
    seen["published"].append(on.publish_due())
    seen["events"] = sorted(on.events(), key=lambda event: event.event_id)
    seen["of user-8"] = on.events("user-8")
    seen["payloads"] = [event.payload for event in seen["events"]]
    seen["dead"] = sorted(on.dead_letters(), key=lambda letter: letter.id)
    seen["list"] = sorted(on.inspector.list().items, key=lambda item: item.notification_id)
    seen["shown"] = [on.inspector.show(item.notification_id, payload=True) for item in seen["list"]]
    status = on.inspector.status()
    seen["status"] = (status.shards, status.channels, status.totals, status.streams)
    seen["preferences"] = notifier.preferences.get("user-9")
    return seen


#: What is another time each time, or is said of it.
_TIMES = re.compile(r".*_ms|stream_id|why|oldest_overdue_s")


def without_times(value: Any, name: str = "") -> Any:
    """Return a value as plain data, in which every time is only there or not."""
    if _TIMES.fullmatch(name):
        return value is not None
    if isinstance(value, UserPreferences):
        return value
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs: Iterable[tuple[Any, Any]] = [(f.name, getattr(value, f.name)) for f in fields(value)]
        return {key: without_times(one, key) for key, one in pairs if key != "payload_bytes"}
    if isinstance(value, Mapping):
        return {key: without_times(one, key) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [without_times(one) for one in value]
    return value


fields: Callable[[Any], tuple[dataclasses.Field[Any], ...]] = dataclasses.fields


def test_story__is_the_same_on_a_server(server: Server, deploy: Deploy) -> None:
    """Receipts, events with their payloads, dead letters, list, history, totals: field by field."""
    given = {
        f"{section}__{name}": x for section, all in SECTIONS.items() for name, x in all.items()
    }
    real = without_times(story(OnServer(deploy(server, **given))))
    with deployment(encoder=encode, **SECTIONS) as local:
        assert without_times(story(local)) == real
    assert [receipt["status"] for receipt in real["receipts"]] == [
        *("accepted", "duplicate", "refused", "refused"),
        *["accepted"] * 7,
    ]
    assert real["published"] == [4, 0, 0]
    assert [letter["message"] for letter in real["dead"]] != []
    assert sum(real["status"][2].values()) > 20


def everything(local: LocalDeployment) -> dict[bytes, Any]:
    """Return all that is stored, with what is left of each key's life."""
    client: Any = local._client
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"string": client.get,
    }
    return {key: (read[client.type(key)](key), client.pttl(key)) for key in sorted(client.keys())}


def test_deployment__stores_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the random part of ids nothing depends on the machine, its clock least of all."""
    stored = []
    for _ in range(2):
        drawn = count()
        monkeypatch.setattr(os, "urandom", lambda size, drawn=drawn: next(drawn).to_bytes(size))
        with deployment(encoder=encode, **SECTIONS) as local:
            local.notifier.accept(PLAIN)
            story(local)
            stored.append(everything(local))
    assert stored[0] == stored[1]
    assert len(stored[0]) > 15


def test_time__passes_only_by_advance() -> None:
    """Due times, retries, expiry, cooldowns and how long things are kept follow the clock."""
    with deployment(encoder=encode, retry={"max_attempts": 2}) as d:
        began = d.now_ms
        later = d.notifier.accept({**PLAIN, "due_at": began + 60_000})
        d.notifier.accept({**PLAIN, "expires_at": began + 10, "due_at": began + 5})
        d.notifier.accept({**PLAIN, "type": "flaky"})
        assert d.publish_due() == 0
        d.advance(ms=999)
        d.publish_due()
        assert d.inspector.status().totals["expired"] == 1
        assert d.dead_letters() == []
        d.advance(ms=1)
        assert d.publish_due() == 0
        (letter,) = d.dead_letters()
        assert (letter.attempts, letter.dead_at_ms) == (2, began + 1000)
        d.advance(ms=59_000)
        assert d.publish_due() == 1
        (event,) = d.events()
        assert event.stream_id == f"{began + 60_000}-0"
        assert event.payload["created_at_ms"] == began
        kept = d.inspector.show(str(later.notification_id))
        assert kept is not None
        assert kept.ttl_ms == 3_600_000
        d.advance(ms=3_600_001)
        assert d.inspector.show(str(later.notification_id)) is None
        assert d.now_ms == began + 3_660_001
        with pytest.raises(ValueError, match="time cannot go backwards"):
            d.advance(ms=-1)


def test_async__notifier_and_publishing_within_a_loop() -> None:
    """A test that is a coroutine publishes as any other; several loops may use the notifier."""
    with deployment() as d:

        async def hand_in(user: str) -> None:
            await d.async_notifier.accept({**PLAIN, "recipients": [user]})
            await d.async_notifier.accept_many([{**PLAIN, "recipients": [user]}] * 2)
            assert d.publish_due() == 3
            assert len(d.events(user)) == 3

        for user in ("user-1", "user-2"):
            asyncio.run(hand_in(user))
        assert [event.user_id for event in d.events()] == ["user-1"] * 3 + ["user-2"] * 3


@pytest.mark.filterwarnings("error")
def test_deployments__know_nothing_of_each_other() -> None:
    """Each begins empty; the larger batches and the many shards of a real one work, too."""
    with deployment() as one, deployment(worker={"shards": 5, "batch_size": 3}) as other:
        receipts = other.notifier.accept_many([PLAIN] * 50)
        assert {receipt.status for receipt in receipts} == {"accepted"}
        assert (one.publish_due(), other.publish_due()) == (0, 50)
        assert one.events() == []
        assert {event.shard for event in other.events()} == set(range(5))
        assert len({event.event_id for event in other.events()}) == 50


def test_deployment__refuses_what_a_daemon_would() -> None:
    """Settings and encoders are checked as at the start of a daemon; the server is its own."""
    with pytest.raises(ConfigurationError, match=r"worker\.chanels"):
        deployment(worker={"chanels": ["push"]})
    with pytest.raises(ConfigurationError, match="has its own server"):
        deployment(redis={"url": "redis://localhost"})
    with pytest.raises(ConfigurationError, match="no method encode"):
        deployment(encoder=7)
    with deployment(encoder=lambda notification, route: "text") as d:
        d.notifier.accept(PLAIN)
        d.publish_due()
        (letter,) = d.dead_letters()
        assert "not bytes" in letter.message
    with deployment(gateway={"encoder": "json"}) as d:
        d.notifier.accept(PLAIN)
        d.publish_due()
        assert d.events()[0].payload_bytes[:1] == b"{"


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
def test_import__without_the_extra_names_it(missing: str) -> None:
    """One line says what to install."""
    program = f"import sys; sys.modules[{missing!r}] = None; import galaxy_notify.testing"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == (
        "ImportError: galaxy_notify.testing needs fakeredis and Lua: "
        "pip install 'galaxy-notify[testing]'"
    )
