"""Postgres or Redis away: a feed says so, soon, and streams never wait for it."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.support.api import problem
from tests.support.feeds import marks_differ, migrate
from tests.support.gateways import Publisher, gateway_on, token
from tests.support.own_feeds import PATH, OwnFeed, feed_gateways
from tests.support.postgres import Postgres, running_postgres
from tests.support.servers import Server
from tests.support.streams import connect, request
from tests.support.wait import wait_until
from tests.support.websockets import TEXT, frame, open_websocket


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Give a Postgres that may be killed, with the schema of the feed."""
    with running_postgres() as made:
        migrate(made)
        yield made


def _answers(own: OwnFeed) -> bool:
    return own.get("/counts").status_code == 200


def test_postgres_killed__is_a_problem_and_streams_go_on(
    server: Server, own_postgres: Postgres
) -> None:
    """Each path says when to come back, and not where Postgres is; then all is as before."""
    with (
        feed_gateways(server, own_postgres) as places,
        places.own("u1") as own,
        places.gateways[0].open() as stream,
        open_websocket(places.gateways[0]) as websocket,
        server.client() as client,
    ):
        (name,) = places.publish("u1")
        stream.until("counts")
        websocket.until("counts")
        own_postgres.kill()
        for answer in (own.get(), own.get("/counts"), own.post("read", {"ids": [name]})):
            found = problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            for secret in (own_postgres.database, str(own_postgres.server.port), "galaxy"):
                assert secret not in found["detail"]
        websocket.send(frame(TEXT, json.dumps({"read": {"ids": [name]}}).encode()))
        assert websocket.until("error")[-1].data["status"] == 503
        publish = Publisher(client)
        (number,) = publish("u1")
        for tab in (stream, websocket):
            while tab.until("notification")[-1].data["data"].get("number") != number:
                pass
        own_postgres.start()
        wait_until(lambda: _answers(own), "Postgres answers again")
        assert own.mark("read", name) == (0, 0)
        for tab in (stream, websocket):
            while tab.until("counts")[-1].data["unread"]:
                pass
        for event in ("postgres unavailable", "postgres available again"):
            places.gateways[0].wait_for(event)


def test_postgres_frozen__holds_few_requests_and_no_stream(
    server: Server, own_postgres: Postgres
) -> None:
    """One user's many requests are refused at once; others wait and are answered."""
    settings = {"feed__statement_timeout_ms": 1000}
    with (
        feed_gateways(server, own_postgres, **settings) as places,
        places.own("u1") as own,
        places.gateways[0].open("u2") as stream,
        server.client() as client,
    ):
        stream.expect("hello")
        own_postgres.pause()
        statuses: list[tuple[int, str]] = []

        def ask() -> None:
            with places.own("u1") as another:
                answer = another.get("/counts")
                statuses.append((answer.status_code, answer.json()["type"].rpartition(":")[2]))

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        publish = Publisher(client)
        (number,) = publish("u2")
        assert stream.until("notification")[-1].data["data"]["number"] == number
        with places.gateways[0].client() as probe:
            assert probe.get("/readyz").status_code == 200
        for thread in threads:
            thread.join()
        assert {status for status, _ in statuses} == {503}
        assert "busy" in {kind for _, kind in statuses}
        own_postgres.resume()
        wait_until(lambda: _answers(own), "Postgres answers again")


def test_redis_away__keeps_nobody_from_the_feed(own_server: Server, own_postgres: Postgres) -> None:
    """It is in Postgres; streams of the same gateway have the counts at once, others later."""
    with (
        feed_gateways(own_server, own_postgres, 2, realtime__presence_ttl_ms=3000) as places,
        places.own("u1") as own,
        places.gateways[0].open() as near,
        places.gateways[1].open() as far,
    ):
        ids = places.publish("u1", 3)
        for stream in (near, far):
            while stream.until("counts")[-1].data["unread"] < 3:
                pass
        own_server.kill()
        near.until("status")
        assert own.mark("read", ids[0]) == (2, 2)
        assert [item["notification_id"] for item in own.items(unread="true")] == ids[1:]
        assert near.expect("counts").data == own.counts()
        own_server.start()
        with own_server.client() as client:

            def is_published() -> bool:
                own.mark("unread", ids[0])
                own.mark("read", ids[0])
                return not marks_differ(client, own_postgres, shards=2)

            wait_until(is_published, "counts reach Redis again")
        while far.until("counts")[-1].data != own.counts():
            pass


def test_gateway__that_has_not_reached_redis_serves_nobody(
    own_server: Server, own_postgres: Postgres
) -> None:
    """It cannot know who was logged out; another process may."""
    with gateway_on(own_server, feed__url=own_postgres.url) as gateway:
        gateway.kill()
        own_server.kill()
        gateway.start()
        with gateway.client() as client:
            answer = client.get(PATH, headers={"Authorization": f"Bearer {token()}"})
            problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        own_server.start()
        gateway.ready()
        with gateway.client() as client:
            assert _answers(OwnFeed(client, "u1"))


def test_locked_user__keeps_no_other_from_the_feed(server: Server, feed_database: Postgres) -> None:
    """However many changes of it wait."""
    settings = {"feed__statement_timeout_ms": 600_000}
    with feed_gateways(server, feed_database, **settings) as places, places.own("u2") as other:
        places.publish("u1")
        places.publish("u2")
        with feed_database.client(autocommit=False) as holder:
            holder.execute("SELECT FROM feed_user WHERE user_id = 'u1' FOR UPDATE")

            def mark() -> None:
                with places.own("u1") as own:
                    answered.append(own.post("read", {"all": True}).status_code)

            answered: list[int] = []
            threads = [threading.Thread(target=mark) for _ in range(8)]
            for thread in threads:
                thread.start()
            for _ in range(20):
                assert other.mark_all("read") == (0, 0)
            # Those that have waited for too long are to come again.
            assert set(answered) <= {503}
            holder.rollback()
        for thread in threads:
            thread.join()
        assert len(answered) == 8
        assert {200} <= set(answered) <= {200, 503}


def test_stop__while_postgres_is_frozen_ends_soon(server: Server, own_postgres: Postgres) -> None:
    """With 0: a request that waits is given up by then."""
    with feed_gateways(server, own_postgres) as places, places.own("u1") as own:
        assert _answers(own)
        own_postgres.pause()
        (gateway,) = places.gateways
        with connect(gateway.url) as peer:
            peer.sendall(request(PATH, Authorization=f"Bearer {token()}"))
            gateway.signal(signal.SIGTERM)
            assert gateway.ended() == 0
        own_postgres.resume()
