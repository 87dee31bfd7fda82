"""A service publishes and retracts, two clients of a user mark, leave and come back, in any order.

In the end both show what Postgres holds: the one reads a stream of server-sent events of one
gateway, the other a WebSocket of another one, and both list over HTTP; the service has the HTTP
API. Nobody leaves while something that was said over the WebSocket is still to be done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.api import api_on
from tests.support.feed_store import new_id
from tests.support.feeds import migrate
from tests.support.own_feeds import MARKS, FeedGateways, OwnFeed, feed_gateways
from tests.support.postgres import Postgres, PostgresServer
from tests.support.servers import main_server, running
from tests.support.suite import examples
from tests.support.websockets import TEXT, frame, open_websocket

_SHOWN = """
    SELECT
        notification_id, read_at IS NOT NULL, seen_at IS NOT NULL, archived_at IS NOT NULL
    FROM feed_item WHERE user_id = %s AND retracted_at IS NULL ORDER BY at DESC, id DESC
"""
_COUNTS = """
    SELECT unread, unseen, version, epoch FROM feed_epoch, feed_user WHERE user_id = %s
"""
_USERS = count(1)

_clients, _places = st.integers(0, 1), st.integers(0, 9)
_steps = st.lists(
    st.one_of(
        st.just(("publish",)),
        st.tuples(
            st.just("mark"),
            _clients,
            st.sampled_from(MARKS),
            st.lists(_places, max_size=4),
        ),
        st.tuples(st.just("mark_all"), _clients, st.sampled_from(MARKS), _places | st.none()),
        st.tuples(st.just("retract"), _places),
        st.tuples(st.just("leave"), _clients),
        st.tuples(st.just("reconnect"), _clients),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Client:
    """A page of the user: the counts of its badge, and the notifications that it was given."""

    own: OwnFeed
    connect: Callable[[str], Any]
    talks: bool
    counts: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    retracted: set[str] = field(default_factory=set)
    _cursor: str = ""
    _connection: Any = None

    def reconnect(self) -> None:
        """Leave, and come back with the cursor of what was read."""
        self.leave()
        self._connection = self.connect(self._cursor)
        while self._read() != "hello":
            pass

    def leave(self) -> None:
        """Leave, if it is there, once all that it said is done."""
        if self._connection is not None:
            self._end_talk()
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def mark(self, mark: str, body: dict[str, Any]) -> None:
        """Mark items: over the WebSocket where the client has one and may, else over HTTP."""
        if self.talks and self._connection is not None and mark in ("read", "seen"):
            self._connection.send(frame(TEXT, json.dumps({mark: body}).encode()))
        else:
            assert self.own.post(mark, body).status_code in (200, 404)

    def read_until(self, is_done: Callable[[], bool]) -> None:
        """Read what comes until it shows what it should."""
        while not is_done():
            self._read()

    def finish(self) -> None:
        """Come back if it has left; all that it said is done."""
        if self._connection is None:
            self.reconnect()
        self._end_talk()

    def _end_talk(self) -> None:
        """Say what is refused, and wait for the answer: messages are done one after the other."""
        if self.talks:
            unknown = {"read": {"ids": [new_id()]}, "mark": 1}
            self._connection.send(frame(TEXT, json.dumps(unknown).encode()))
            while self._read() != "refused":
                pass

    def _read(self) -> str:
        said = self._connection.said() if self.talks else self._connection.frame()
        self._cursor = said.id or self._cursor
        data = said.data
        if said.kind == "hello" and data["counts"]:
            self._count(data["counts"])
        elif said.kind == "counts":
            self._count(data)
        elif said.kind == "notification":
            self.given.add(data["notification_id"])
        elif said.kind == "retract":
            self.retracted.add(data["notification_id"])
        elif said.kind == "error":
            assert data["status"] in (404, 422), data
            return "refused" if data["status"] == 422 else "error"
        return str(said.kind)

    def _count(self, counts: dict[str, Any]) -> None:
        """Take counts, which are never older than those before."""
        place = (counts["epoch"], counts["version"])
        assert not self.counts or place >= (self.counts["epoch"], self.counts["version"])
        self.counts = counts


@dataclass
class Story:
    """A user, its two clients, and what the service published."""

    service: httpx.Client
    postgres: Postgres
    clients: Sequence[Client]
    user: str
    ids: list[str] = field(default_factory=list)
    taken_back: set[str] = field(default_factory=set)

    def do(self, step: Sequence[Any]) -> None:
        """Do what a step says."""
        what, *rest = step
        if what == "publish":
            turn = {"type": "game.turn", "producer": "lobby"}
            made = self.service.post(f"/v1/users/{self.user}/feed", json=turn)
            self.ids.append(made.raise_for_status().json()["notification_id"])
        elif what == "retract":
            self._retract(self._id(rest[0]))
        else:
            self._act(what, self.clients[rest[0]], *rest[1:])

    def _retract(self, name: str) -> None:
        done = self.service.post(f"/v1/notifications/{name}:retract")
        if name in self.ids:
            assert done.json()["users"] == 1
            self.taken_back.add(name)
        else:
            assert done.status_code == 404

    def _act(self, what: str, client: Client, mark: str = "", given: Any = None) -> None:
        if what == "mark":
            client.mark(mark, {"ids": [self._id(place) for place in given]})
        elif what == "mark_all":
            until = {} if given is None else {"until": self._id(given)}
            client.mark(mark, {"all": True, **until})
        elif what == "leave":
            client.leave()
        else:
            client.reconnect()

    def check(self) -> None:
        """Both clients show what Postgres holds, and it is consistent."""
        for client in self.clients:
            client.finish()
        counts = self._stored_counts()
        for client in self.clients:
            client.read_until(partial(self._is_shown, client, counts))
            assert client.retracted <= self.taken_back
            assert client.own.counts() == counts or not self.ids
            for archived in ("false", "true"):
                assert self._listed(client, archived) == self._stored(archived)
        stored = self._stored("false")
        assert counts["unread"] == sum(not is_read for _, is_read, _ in stored)
        assert counts["unseen"] == sum(not is_seen for _, _, is_seen in stored)

    def _is_shown(self, client: Client, counts: dict[str, Any]) -> bool:
        """Tell whether a client has the counts, and was given what it was to be given."""
        has_counts = client.counts == counts or not self.ids
        has_all = client.given | self.taken_back >= set(self.ids)
        return has_counts and has_all and client.retracted >= self.taken_back & client.given

    def _id(self, place: int) -> str:
        """Return the id of a notification, or one that nobody has."""
        return self.ids[place % len(self.ids)] if self.ids and place else new_id()

    def _listed(self, client: Client, archived: str) -> list[tuple[str, bool, bool]]:
        return [
            (one["notification_id"], one["read_at_ms"] is not None, one["seen_at_ms"] is not None)
            for one in client.own.items(archived=archived, limit=3)
        ]

    def _stored(self, archived: str) -> list[tuple[str, bool, bool]]:
        with self.postgres.client() as client:
            rows = client.execute(_SHOWN, [self.user]).fetchall()
        return [tuple(row[:3]) for row in rows if row[3] == (archived == "true")]

    def _stored_counts(self) -> dict[str, Any]:
        names = ("unread", "unseen", "version", "epoch")
        with self.postgres.client() as client:
            row = client.execute(_COUNTS, [self.user]).fetchone() or (0, 0, 0, 0)
        return dict(zip(names, row, strict=True))


@dataclass(frozen=True)
class Stage:
    """Where the stories are played."""

    places: FeedGateways
    service: httpx.Client
    postgres: Postgres

    def story(self, stack: ExitStack) -> Story:
        """Begin a story of a new user, whose clients are connected."""
        user = f"user-{next(_USERS)}"
        one, two = self.places.gateways

        def websocket(cursor: str) -> Any:
            return open_websocket(two, user, f"?cursor={cursor}" if cursor else "")

        clients = [
            Client(stack.enter_context(self.places.own(user, at)), connect, talks)
            for at, connect, talks in (
                (0, lambda cursor: one.open(user, cursor), False),
                (1, websocket, True),
            )
        ]
        for client in clients:
            stack.callback(client.close)
            client.reconnect()
        return Story(self.service, self.postgres, clients, user)


@pytest.fixture(scope="module")
def stage(postgres_server: PostgresServer) -> Iterator[Stage]:
    """Give two gateways with a feed, and a service with the HTTP API."""
    postgres_server.ensure_running()
    database = Postgres(postgres_server, postgres_server.create_database())
    migrate(database)
    with (
        running(main_server()) as server,
        feed_gateways(server, database, 2) as places,
        api_on(server, feed__url=database.url, worker__shards=2) as api,
        api.client() as service,
    ):
        yield Stage(places, service, database)


# What fails waits until the end of all patience: it is not tried again with fewer steps.
@settings(max_examples=examples(15, 150), phases=[Phase.explicit, Phase.generate])
@given(steps=_steps)
def test_clients__show_what_postgres_holds(stage: Stage, steps: list[tuple[Any, ...]]) -> None:
    """Whatever they did, in whatever order it came."""
    with ExitStack() as stack:
        story = stage.story(stack)
        for step in steps:
            story.do(step)
        story.check()
