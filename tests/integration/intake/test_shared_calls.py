"""Tasks that accept at the same time share calls, and notice nothing of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.errors import CallFailed, Misconfigured, ServerRefused, Unavailable
from galaxy_notify.intake import shared_calls
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_client import connection
from galaxy_notify.redis_client.faults import RedisFault
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import out_of_memory
from tests.support.servers import Server
from tests.support.together import accepting, ends, keyed, no_connection_free
from tests.support.wait import HANG_S, until

_MANY = 40


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(server.socket) as made:
        yield made


@pytest.fixture
def endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next call leave only when the one before has returned, however slow this machine."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)


def calls(deployment: DeploymentFixture) -> int:
    """Return how many scripts the server was sent."""
    return int(deployment.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@pytest.mark.usefixtures("endless_wait")
def test_accept__at_the_same_time_shares_calls(server: Server, deploy: Deploy) -> None:
    """The first goes alone, the others together; one after the other each has a call of its own."""
    deployment = deploy(server, worker__shards=3)
    deployment.load_scripts()

    async def run() -> tuple[int, int]:
        async with AsyncNotifier(deployment.settings) as notifier:
            for number in range(5):
                await notifier.accept(keyed(number))
            alone = calls(deployment)
            receipts = await ends(accepting(notifier, *(keyed(n) for n in range(5, 5 + _MANY))))
            assert [one.status for one in receipts] == ["accepted"] * _MANY
            assert [one.notification_id for one in receipts] == [
                id_for_key("lobby", f"k{n}") for n in range(5, 5 + _MANY)
            ]
            return alone, calls(deployment) - alone

    before = calls(deployment)
    alone, together = asyncio.run(run())
    assert alone - before >= 5
    assert together <= 1 + 3  # the first, and one for each shard
    assert len(deployment.routes()) == 5 + _MANY


@pytest.mark.usefixtures("endless_wait")
def test_accept__a_full_call_leaves_at_once(server: Server, deploy: Deploy) -> None:
    """Calls are as small as those of `accept_many`; what is as large on its own shares none."""
    deployment = deploy(server)

    async def run() -> None:
        async with AsyncNotifier(deployment.settings) as notifier:
            async with no_connection_free(notifier) as line:
                tasks = accepting(notifier, *[PLAIN] * 450)
                await until(lambda: len(line) == 3, "the first and two full calls have left")
                crowd = {**PLAIN, "recipients": [f"u{n}" for n in range(200)]}
                tasks += accepting(notifier, crowd, {**PLAIN, "body": "x" * (1 << 18) + "x"})
                await until(lambda: len(line) == 4 or tasks[-1].done(), "it has a call of its own")
            receipts = await ends(tasks)
            assert [one.status for one in receipts] == ["accepted"] * 451 + ["refused"]

    asyncio.run(run())
    assert deployment.total("accepted") == 1 + 450 + 200


def test_accept__what_hangs_holds_up_no_other(
    server: Server, deploy: Deploy, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the reply to one call does not come, the next one leaves and returns."""
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", HANG_S)
    deployment = deploy(server)
    deployment.load_scripts()

    async def run() -> None:
        async with AsyncNotifier(deployment.settings_at(proxy.url)) as notifier:
            await notifier.accept(PLAIN)
            proxy.lose_reply("intent_accept", "silence")
            first, *others = accepting(notifier, *map(keyed, range(_MANY)))
            assert [one.status for one in await ends(others)] == ["accepted"] * (_MANY - 1)
            assert not first.done()
            proxy.reset_all()
            assert (await first).status == "duplicate"

    asyncio.run(run())


@pytest.mark.usefixtures("endless_wait")
def test_accept__each_has_the_outcome_that_it_has_alone(server: Server, deploy: Deploy) -> None:
    """Invalid, repeated, in conflict or over a foreign key: it concerns that intent only."""
    deployment = deploy(server)
    foreign = id_for_key("lobby", "k9")
    deployment.client.set(deployment.keys.notification(foreign), "x")
    deployment.whole = False

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            intents = [
                keyed(0),
                keyed(1),
                {**PLAIN, "recipients": []},
                keyed(1),
                keyed(1, title="other"),
                {**PLAIN, "channels": ["psuh"]},
                keyed(9),
                keyed(2),
            ]
            return await ends(accepting(notifier, *intents))

    found = asyncio.run(run())
    shown = [getattr(one, "status", type(one).__name__) for one in found]
    assert shown == [
        *("accepted", "accepted", "refused", "duplicate", "refused", "refused"),
        *("Unavailable", "accepted"),
    ]
    assert found[4].error.code == "conflict"
    assert "WRONGTYPE" in str(found[6])
    assert found[6].notification_id == foreign
    deployment.client.delete(deployment.keys.notification(foreign))


@pytest.mark.usefixtures("endless_wait")
def test_accept__what_was_never_checked_stops_only_itself(server: Server, deploy: Deploy) -> None:
    """An intent that was copied with other fields, which pydantic does not check."""
    deployment = deploy(server)
    unchecked = Intent.parse(keyed(90)).model_copy(update={"request_id": "\ud800"})

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            intents: list[Any] = [keyed(0), keyed(1), unchecked, keyed(2)]
            return await asyncio.gather(*map(notifier.accept, intents), return_exceptions=True)

    *found, last = asyncio.run(run())
    assert isinstance(found.pop(), Exception)
    assert {one.status for one in [*found, last]} == {"accepted"}
    assert set(deployment.statuses()) == {"u0", "u1", "u2"}


def _assert_own(errors: list[Any], kind: type[CallFailed], names: list[str]) -> None:
    """Assert that each caller has an error, a cause and an id of its own; the last share a text."""
    assert {type(error) for error in errors} == {kind}
    assert [error.notification_id for error in errors] == names
    assert len({str(error) for error in errors[-_MANY + 1 :]}) == 1
    for parts in (errors, [error.__cause__ for error in errors]):
        assert len({id(part) for part in parts}) == len(errors)
    assert {type(error.__cause__) for error in errors} == {RedisFault}
    depths = set[int]()
    for error in errors:
        depth, trace = 0, error.__cause__.__traceback__
        while trace is not None:
            depth, trace = depth + 1, trace.tb_next
        depths.add(depth)
    assert max(depths) < 10


@pytest.mark.usefixtures("endless_wait")
def test_accept__a_fault_concerns_each_as_if_it_were_alone(
    server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """The same error as a single accept raises, one for each, with the id to repeat it with."""
    deployment = deploy(server)
    names = [id_for_key("lobby", f"k{n}") for n in range(_MANY)]

    async def run() -> None:
        async with AsyncNotifier(deployment.settings_at(proxy.url)) as notifier:
            await notifier.accept(PLAIN)
            with out_of_memory(server):
                (alone,) = await ends(accepting(notifier, keyed(0)))
                refused = await ends(accepting(notifier, *map(keyed, range(_MANY))))
            _assert_own([alone, *refused], ServerRefused, [names[0], *names])
            assert {str(error) for error in refused} == {str(alone)}
            with proxy.down():
                away = await ends(accepting(notifier, *map(keyed, range(_MANY))))
            _assert_own(away, Unavailable, names)
            again = await ends(accepting(notifier, *map(keyed, range(_MANY))))
            assert [one.status for one in again] == ["accepted"] * _MANY

    asyncio.run(run())
    assert deployment.total("accepted") == 1 + _MANY


@pytest.mark.usefixtures("endless_wait")
def test_accept__a_missing_right_is_named_to_each(server: Server, deploy: Deploy) -> None:
    """What the user may not do is asked for where the error is raised."""
    deployment = deploy(server)
    with server.client() as admin:
        admin.acl_setuser(
            "shop", enabled=True, passwords=["+right"], commands=["+@all", "-hset"], keys=["*"]
        )

    async def run() -> list[Any]:
        access = {"redis__username": "shop", "redis__password": "right"}
        async with AsyncNotifier(deployment.settings_at(server.url, **access)) as notifier:
            return await ends(accepting(notifier, *map(keyed, range(5))))

    try:
        errors = asyncio.run(run())
    finally:
        with server.client() as admin:
            admin.acl_deluser("shop")
    assert {type(error) for error in errors} == {Misconfigured}
    assert all("may not run HSET" in str(error) for error in errors)


@pytest.mark.usefixtures("endless_wait")
def test_accept__a_missing_right_stays_one_if_nobody_can_name_it(
    server: Server, deploy: Deploy
) -> None:
    """What the server refused is reported as refused, although too many ask for its name."""
    deployment = deploy(server)
    with server.client() as admin:
        admin.acl_setuser(
            "shop", enabled=True, passwords=["+right"], commands=["+@all", "-hset"], keys=["*"]
        )

    async def run() -> list[Any]:
        access = {"redis__username": "shop", "redis__password": "right"}
        settings = deployment.settings_at(server.url, **access, redis__max_waiting=1)
        async with AsyncNotifier(settings) as notifier:
            return await ends(accepting(notifier, *map(keyed, range(_MANY))))

    try:
        errors = asyncio.run(run())
    finally:
        with server.client() as admin:
            admin.acl_deluser("shop")
    assert {type(error) for error in errors} == {Misconfigured}
    assert any("may not run HSET" in str(error) for error in errors)
    assert not all("may not run HSET" in str(error) for error in errors)


@pytest.mark.usefixtures("endless_wait")
def test_accept__a_lost_reply_costs_another_try(
    server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """The connection of a shared call is reset after it ran: each intent is accepted once."""
    deployment = deploy(server)
    deployment.load_scripts()

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings_at(proxy.url)) as notifier:
            await notifier.accept(PLAIN)
            first, *others = accepting(notifier, PLAIN, *map(keyed, range(_MANY)), *[PLAIN] * _MANY)
            first.add_done_callback(lambda _: proxy.lose_reply("intent_accept"))
            return await ends(others)

    receipts = asyncio.run(run())
    assert proxy.lost == 1
    # One with a key says of its own first try that it is a duplicate, as it does alone.
    assert {one.status for one in receipts[:_MANY]} == {"duplicate"}
    assert {one.status for one in receipts[_MANY:]} == {"accepted"}
    assert deployment.total("accepted") == 2 + 2 * _MANY
