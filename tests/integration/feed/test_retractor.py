"""Retractions beside the writer and the gateways: whichever comes first, the same is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from galaxy_notify.errors import FeedUnavailable, Unavailable
from galaxy_notify.feed import retractor as retractor_module
from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.feed.calls import Calls
from galaxy_notify.feed.retractor import Retracted, Retractor
from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.intake.change import cancel_flow
from galaxy_notify.intake.receipts import Cancelled
from galaxy_notify.live.placing import incoming
from galaxy_notify.model.feed import NewItem
from galaxy_notify.model.ids import Target
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.recent import read_recent
from galaxy_notify.redis_state.deployment import Deployment, connect
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings, settings_from
from tests.support.background import NOWHERE
from tests.support.deployment import DeploymentFixture
from tests.support.postgres import Postgres
from tests.support.servers import Server

_ORDERS = list(permutations(("insert", "deliver", "retract", "retract without Redis", "insert")))
_NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"


def _settings(redis: str, postgres: str) -> Settings:
    return settings_from({"redis": {"url": redis}, "feed": {"url": postgres}})


class _Stage:
    """A feed and a deployment, and what happens to one notification of a user in them."""

    def __init__(self, redis: str, postgres: str) -> None:
        connect(_settings(redis, postgres), join=True).close()
        self.whole = Retractor.open(_settings(redis, postgres))
        self.without_redis = Retractor.open(_settings(NOWHERE, postgres))
        self.name = ""

    @property
    def store(self) -> Any:
        return self.whole.store

    async def step(self, what: str) -> None:
        """Do what a process of the deployment does."""
        target = Target(self.name, None)
        if what == "insert":
            payload = b"\x80"
            item = NewItem("u1", self.name, "t", "p", "info", "title", "", payload, 1)
            inserted = await self.store.insert([item])
            await self.whole.announcer.announce(News(inserted.counts))
        elif what == "deliver":
            event = LiveEvent(f"{self.name}/in_app:u1", "t", "info", "title", "", {}, 1)
            await self.whole.announcer.announce(News({}, [incoming("u1", event, 1)]))
        elif what == "retract":
            # Here its users are known by the record, which a test of the commands has.
            assert (await self.whole.retract_for(target, ["u1"])).users == ["u1"]
        else:
            with pytest.raises(Unavailable, match="retracted in the feed, not in the streams"):
                await self.without_redis.retract_for(target, ["u1"])

    async def close(self) -> None:
        await self.whole.close()
        await self.without_redis.close()


def test_any_order__leaves_nothing_to_see(server: Server, feed_database: Postgres) -> None:
    """Rows, counts, the mark and the list show nothing of it, in any order of what happens."""

    async def run() -> None:
        stage = _Stage(server.url, feed_database.url)
        try:
            for number, order in enumerate(_ORDERS, 1):
                stage.name = f"{number:032x}"
                for what in order:
                    await stage.step(what)
                page = await stage.store.list("u1", ListQuery(limit=50))
                assert (page.items, page.counts[:2]) == ([], (0, 0)), order
        finally:
            await stage.close()

    asyncio.run(run())
    events = _recent(server, "u1")
    assert events
    assert all(isinstance(event, Retraction) for event in events)
    with server.client() as client:
        mark: Any = client.hgetall("{gn:0}:unread:u1")
    assert (mark[b"unread"], mark[b"unseen"]) == (b"0", b"0")


def test_outages__are_named_with_what_is_done(server: Server, feed_database: Postgres) -> None:
    """Without Postgres the streams have it all the same, and the other way round."""
    target = Target("a" * 32, None)

    async def run() -> Retracted:
        settings = _settings(server.url, _NO_POSTGRES)
        connect(settings, join=True).close()
        retractor = Retractor.open(settings)
        with pytest.raises(FeedUnavailable, match="retracted in the streams, not in the feed"):
            await retractor.retract_for(target, ["u1"])
        with pytest.raises(FeedUnavailable, match="nothing is retracted"):
            await retractor.retract(target, "client")
        await retractor.close()
        bare = Retractor(None, Announcer(settings), Calls("Retractor"))
        done = await bare.retract_for(target, ["u1"])
        await bare.close()
        return done

    assert asyncio.run(run()) == Retracted(["u1"], {}, found=False)
    assert _recent(server, "u1") == [Retraction("a" * 32)]


def test_record__that_ends_with_its_last_route_is_known(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another route of it may have been delivered long ago."""
    deployment = DeploymentFixture(server.url)
    made = deployment.notify("u1", "u2", due_at=2 * 10**12)
    deployment.close()

    def cancel(keys: KeySpace, target: Target, actor: str) -> Flow[Cancelled]:
        done = yield from cancel_flow(keys, target, actor)
        yield [Command(["DEL", keys.keys_for(made).notification(made)])]
        return done

    monkeypatch.setattr(retractor_module, "cancel_flow", cancel)

    async def run() -> Retracted:
        retractor = Retractor.open(settings_from({"redis": {"url": server.url}}))
        done = await retractor.retract(Target(made, None), "client")
        await retractor.close()
        return done

    done = asyncio.run(run())
    assert (sorted(done.users), done.found, done.cancelled) == (["u1", "u2"], True, 2)
    assert [_recent(server, user) for user in done.users] == [[Retraction(made)]] * 2


def test_deployment__that_has_just_been_founded_is_asked(server: Server) -> None:
    """Also where an announcement found none a moment before: nothing in it counts as unknown."""
    settings = settings_from({"redis": {"url": server.url}})

    async def run() -> Retracted:
        retractor = Retractor.open(settings)
        assert await retractor.announcer.announce(News({})) is not None
        deployment = DeploymentFixture(server.url)
        made = deployment.notify("u1", due_at=2 * 10**12)
        deployment.close()
        done = await retractor.retract(Target(made, None), "client")
        await retractor.close()
        return done

    done = asyncio.run(run())
    assert (done.users, done.found, done.cancelled) == (["u1"], True, 1)


def _recent(server: Server, user: str) -> Sequence[LiveEvent | Retraction | None]:
    with server.client() as client:
        key_space = connect(settings_from({"redis": {"url": server.url}})).key_space
        found = read_recent(Deployment(client, key_space), user)
        return [entry.event for entry in found.entries]
