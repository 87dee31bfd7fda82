"""Preferences as programs change them: on the user's shard, once every shard is marked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from galaxy_notify.errors import InvalidPreference, Misconfigured, Unavailable
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.intake.rules.preferences import Preferences, silenced, wish
from galaxy_notify.model.ids import shard_of
from galaxy_notify.model.preference import Preference
from galaxy_notify.model.quiet import Quiet
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.redis_state.roles import Role
from tests.support.command import NOWHERE
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.proxy import proxied
from tests.support.refusing import out_of_memory
from tests.support.roles import line_of, stage
from tests.support.servers import Server

Opened = Callable[[DeploymentFixture], Any]
NIGHT = ("22:00", "07:00", "Europe/Berlin")


class _Waiting:
    """Asynchronous preferences, each call of which is waited for."""

    def __init__(self, runner: asyncio.Runner, notifier: AsyncNotifier) -> None:
        self._runner = runner
        self._preferences = notifier.preferences

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._preferences, name)
        return lambda *args, **given: self._runner.run(call(*args, **given))


@contextmanager
def _asynchronous(deployment: DeploymentFixture) -> Iterator[_Waiting]:
    with asyncio.Runner() as runner:
        notifier = AsyncNotifier(deployment.settings)
        try:
            yield _Waiting(runner, notifier)
        finally:
            runner.run(notifier.close())


@contextmanager
def _synchronous(deployment: DeploymentFixture) -> Iterator[Preferences]:
    yield deployment.notifier.preferences


@pytest.fixture(params=[_synchronous, _asynchronous], ids=["sync", "async"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Give what opens the preferences of a deployment, from threads or from asyncio."""
    with ExitStack() as stack:
        yield lambda deployment: stack.enter_context(request.param(deployment))


def _users_with_keys(deployment: DeploymentFixture) -> dict[str, int]:
    """Return who has a key, and on which shard."""
    found = {}
    for key in deployment.client.scan_iter(match="*preferences:*", count=1000):
        tag, _, user = key.decode().partition("}:preferences:")
        found[user] = int(tag.rpartition(":")[2])
    return found


def _marked(deployment: DeploymentFixture) -> list[bool]:
    return [
        bool(deployment.client.exists(keys.preferred)) for keys in deployment.key_space.all_keys
    ]


def test_preferences__of_types_and_of_every_type(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """Each is set, replaced and removed by itself; setting it again changes nothing."""
    deployment = deploy(any_server, worker__channels=["push", "email"])
    preferences = opened(deployment)
    assert preferences.get("u1") == UserPreferences()
    assert preferences.set("u1", channels=["push", "email", "push"], min_severity="notice")
    assert preferences.set("u1", "chat", channels=())
    assert preferences.set("u1", "order.late", min_severity="info")
    assert not preferences.set("u1", "chat", channels=[])
    assert preferences.get("u1") == UserPreferences(
        Preference(("email", "push"), "notice"),
        {"chat": Preference(()), "order.late": Preference(None, "info")},
    )
    assert preferences.set("u1", min_severity="critical")
    assert preferences.remove("u1", "chat")
    assert not preferences.remove("u1", "chat")
    assert preferences.get("u1") == UserPreferences(
        Preference(None, "critical"), {"order.late": Preference(None, "info")}
    )
    assert preferences.remove("u1")
    assert preferences.remove("u1", "order.late")
    assert _users_with_keys(deployment) == {}


def test_resume__takes_back_the_silence_and_nothing_else(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """Who is silenced gets nothing; once resumed, exactly what was wanted before, types too."""
    deployment = deploy(any_server)
    preferences = opened(deployment)
    preferences.set("u1", channels=["push"])
    preferences.set("u1", "chat", channels=[])
    preferences.quiet("u1", *NIGHT)
    before = preferences.get("u1")
    assert preferences.silence("u1")
    assert preferences.get("u1").silenced
    preferences.set("u1", "order", min_severity="warning")
    assert preferences.resume("u1")
    assert not preferences.resume("u1")
    assert preferences.remove("u1", "order")
    assert preferences.get("u1") == before


def test_resume__lets_the_user_be_told_again(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """What comes while a user is silenced is skipped; the first after that is delivered."""
    deployment = deploy(any_server, worker__shards=3)
    preferences = opened(deployment)
    preferences.set("u1", "retired.type", channels=[])
    preferences.silence("u1")
    deployment.notify("u1")
    assert deployment.statuses() == {"u1": "skipped"}
    preferences.resume("u1")
    again = deployment.notify("u1")
    routes = {member: route.status for member, route in deployment.routes().items()}
    assert routes[f"{again}/push:u1"] == "pending"


def test_quiet__is_set_and_taken_away(any_server: Server, deploy: Deploy, opened: Opened) -> None:
    """Quiet hours are one for each user; None takes them away."""
    preferences = opened(deploy(any_server))
    assert preferences.quiet("u1", *NIGHT)
    assert preferences.get("u1").quiet == Quiet(22 * 60, 7 * 60, "Europe/Berlin")
    assert preferences.quiet("u1", None)
    assert preferences.get("u1") == UserPreferences()


def test_delete__forgets_a_user_and_no_other(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """Nothing of the user stays in Redis."""
    deployment = deploy(any_server)
    preferences = opened(deployment)
    for user in ("u1", "u2"):
        preferences.set(user, channels=["push"])
        preferences.silence(user)
    assert preferences.delete("u1")
    assert not preferences.delete("u1")
    assert list(_users_with_keys(deployment)) == ["u2"]


def test_preferences__lie_on_the_shard_of_the_user(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """Every shard is marked, whichever one the first user is on."""
    deployment = deploy(any_server, worker__shards=5)
    preferences = opened(deployment)
    users = [f"user-{number}" for number in range(20)]
    for number, user in enumerate(users):
        preferences.set(user, channels=["push"])
        assert _marked(deployment) == [True] * 5
        assert len(_users_with_keys(deployment)) == number + 1
    assert _users_with_keys(deployment) == {user: shard_of(user, 5) for user in users}
    assert all(preferences.get(user).of_every_type for user in users)


def test_preferences__are_not_stored_before_every_shard_is_marked(
    any_server: Server, deploy: Deploy
) -> None:
    """Where one shard cannot be marked nothing is stored on any; what takes away needs no mark."""
    deployment = deploy(any_server, worker__shards=3)
    user = next(name for name in ("u1", "u2", "u3", "u4") if shard_of(name, 3) == 0)
    rules = line_of(Role.PRODUCER)[1:]
    with stage(any_server, Role.PRODUCER) as producer:
        producer.grant(
            [rule for rule in rules if "preferred" not in rule] + ["~{gn:[01]}:preferred"]
        )
        with Notifier(deployment.settings_at(producer.url)) as notifier:
            with pytest.raises(Misconfigured, match="NOPERM"):
                notifier.preferences.set(user, channels=["push"])
            assert not notifier.preferences.resume(user)
            assert _users_with_keys(deployment) == {}
            producer.grant(rules)
            assert notifier.preferences.set(user, channels=["push"])
    assert _marked(deployment) == [True] * 3


def test_change__of_many_takes_few_round_trips(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """A thousand users are stored in a few calls of each shard, each answered in order."""
    deployment = deploy(any_server, worker__shards=2)
    deployment.load_scripts()
    preferences = opened(deployment)
    changes = [wish(f"u{n}", None, Preference(("push",))) for n in range(1000)]
    changes += [silenced("u0"), changes[0], UserChange("u1", {}, whole=True)]
    before = _runs(deployment)
    answers = preferences.change(changes)
    assert _runs(deployment) - before <= 2 + 6
    assert [answer.word for answer in answers[-4:]] == ["changed", "changed", "same", "changed"]
    assert len(answers) == 1003
    assert len(_users_with_keys(deployment)) == 999


def _runs(deployment: DeploymentFixture) -> int:
    stats: Any = deployment.client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_change__whose_answer_was_lost_is_stored_once(any_server: Server, deploy: Deploy) -> None:
    """It is sent again, and is as if it had been sent once."""
    deployment = deploy(any_server)
    deployment.load_scripts()
    with (
        proxied(any_server.socket) as proxy,
        Notifier(deployment.settings_at(proxy.url)) as notifier,
    ):
        proxy.lose_reply("preference_set", "reset")
        notifier.preferences.set("u1", "chat", channels=[])
        assert proxy.lost == 1
        assert notifier.preferences.get("u1").of_types == {"chat": Preference(())}


def test_change__says_what_cannot_be_stored(
    any_server: Server, deploy: Deploy, opened: Opened
) -> None:
    """One type too many, a key that is not ours, no memory: one error that says so."""
    deployment = deploy(any_server)
    preferences = opened(deployment)
    full = {f"type:t{number}": b"{}" for number in range(MOST_FIELDS)}
    preferences.change([UserChange("u1", full)])
    with pytest.raises(InvalidPreference, match="256 preferences") as refused:
        preferences.set("u1", "one.more", channels=[])
    assert (refused.value.field, refused.value.code) == ("type", "too_large")
    deployment.client.set(deployment.keys.preferences("u2"), "foreign")
    with pytest.raises(InvalidPreference, match="has another type") as refused:
        preferences.silence("u2")
    assert refused.value.code == "conflict"
    assert preferences.get("u2").unreadable == ("(all)",)
    with out_of_memory(any_server), pytest.raises(Unavailable, match="OOM"):
        preferences.silence("u3")
    assert preferences.delete("u1")


def test_preferences__refuse_what_nobody_can_mean(
    server: Server, deploy: Deploy, opened: Opened
) -> None:
    """The first bad field is named, and nothing is stored."""
    deployment = deploy(server, worker__channels=["push", "email"])
    preferences = opened(deployment)
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("user", lambda: preferences.set("u 1", channels=["push"])),
        ("user", lambda: preferences.get("")),
        ("type", lambda: preferences.set("u1", "a b", channels=["push"])),
        ("type", lambda: preferences.remove("u1", "")),
        ("channels[1]", lambda: preferences.set("u1", channels=["push", "psuh"])),
        ("min_severity", lambda: preferences.set("u1", min_severity="watch")),
        ("", lambda: preferences.set("u1")),
        ("quiet.from", lambda: preferences.quiet("u1", "7", "8", "UTC")),
        ("quiet.to", lambda: preferences.quiet("u1", "07:00")),
        ("quiet.zone", lambda: preferences.quiet("u1", "07:00", "08:00", "Mars")),
    ]
    for field, call in refused:
        with pytest.raises(InvalidPreference) as error:
            call()
        assert error.value.field == field
    with pytest.raises(InvalidPreference, match=r'unknown channel "psuh" \(known: email, push\)'):
        preferences.set("u1", channels=["psuh"])
    assert _users_with_keys(deployment) == {}


def test_preferences__without_redis_are_unavailable() -> None:
    """Every call says so within its bound, and nothing else is raised."""
    with Notifier.from_url(NOWHERE) as notifier:
        for call in (notifier.preferences.get, notifier.preferences.silence):
            with pytest.raises(Unavailable):
                call("u1")
        with pytest.raises(Unavailable):
            notifier.preferences.set("u1", channels=["push"])


def test_change__that_nobody_confirms_is_not_told_as_done(server: Server, deploy: Deploy) -> None:
    """With `redis.durability` it waits like every other write."""
    deployment = deploy(server)
    settings = deployment.settings_at(server.url, redis__durability="replicas:1")
    with Notifier(settings) as notifier, pytest.raises(Unavailable, match="0 of 1 replicas"):
        notifier.preferences.silence("u1")
