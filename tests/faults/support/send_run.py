"""One deployment for a fault test of external channels: server, daemons, receiver, verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any, Final, NamedTuple

import redis

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.webhooks.signature import message_id, new_secret
from tests.faults.support.fault_run import FaultRun, assert_readable
from tests.faults.support.load import Shape
from tests.support.contacts import key
from tests.support.receiver_process import Behaviour, Receiver, Request
from tests.support.servers import Server

HOOKS, MINE = "hooks", "mine"
BOTH: Final = (HOOKS, MINE)
_DELIVERED: Final = range(200, 300)
_SLOW: Final = 0.05
#: Short enough to see leases expire, and never the reason that a route is given up.
_CHANNEL: Final[Mapping[str, Any]] = {
    "timeout_ms": 2000,
    "lease_ttl_ms": 4000,
    "schedule_ms": [100] * 99,
    "per_host": 32,
}
SECRET: Final = new_secret()


class Sent(NamedTuple):
    """What a run came to: routes by status, what came twice, and what must not be."""

    statuses: Counter[str]
    requests: int
    repeated: int
    violations: Sequence[str]

    def __str__(self) -> str:
        found = ", ".join(f"{number} {status}" for status, number in sorted(self.statuses.items()))
        return f"{found}; {self.requests} requests, {self.repeated} ids delivered more than once"


class Endpoints(NamedTuple):
    """Settings of channels beside those that every test has, and ports beside the receiver's."""

    channels: Mapping[str, Mapping[str, Any]] = {}
    ports: Sequence[int] = ()


class SendRun(FaultRun):
    """A deployment with a webhook and a channel of one's own, whose endpoints are one receiver."""

    def __init__(
        self,
        server: Server,
        rng: Random,
        stack: ExitStack,
        receiver: Receiver,
        endpoints: Endpoints,
        **settings: Any,
    ) -> None:
        """Found it."""
        self.receiver = receiver
        self.users: list[str] = []
        made = _channels([receiver.port, *endpoints.ports], endpoints.channels)
        flat = {
            f"channels.{name}__{field}": value
            for name, section in made.items()
            for field, value in section.items()
        }
        shared = {
            "worker__channels": ["push", *made],
            "contacts__keys": [key()],
            "retry__max_attempts": 100,
        }
        super().__init__(
            server, rng, stack, road="script", sections={"channels": made}, **shared | settings
        )
        self._settings |= flat
        self._names = tuple(made)

    def contact(self, user: str, url: str, channels: Iterable[str] = BOTH, **data: Any) -> None:
        """Give a user an endpoint on channels, with the secret of all tests."""
        wanted = [
            NewContact(name, url, data={"secrets": [{"secret": SECRET}], **data})
            for name in channels
        ]
        self.contacts(user, wanted)

    def contacts(self, user: str, wanted: Sequence[NewContact]) -> None:
        """Give a user these contacts, in place of those of their channels."""
        book, deployment = open_book(self.deployment.settings), self.deployment
        run_flow_sync(deployment.client, book.replace(deployment.key_space, user, wanted))

    def people(self, number: int) -> None:
        """Make so many users, each with endpoints of the receiver."""
        self.users = [f"u{n}" for n in range(number)]
        for user in self.users:
            self.contact(user, self.receiver.url(f"/{user}"))

    def drop_setting(self, name: str) -> None:
        """Start no further daemon with a setting: it comes from elsewhere."""
        del self._settings[name]

    def notify(self, *users: str, channels: Sequence[str] = (HOOKS,), **fields: Any) -> list[str]:
        """Hand an intent in, and return its members."""
        made = self.deployment.notify(*users, channels=list(channels), **fields)
        return [f"{made}/{channel}:{user}" for channel in channels for user in users]

    def begin_failing(self, share: float) -> None:
        """Fail this share of all requests from now on, and answer some late."""
        self.receiver.behave(Behaviour(fail=share, slow=_SLOW))

    def came(self) -> int:
        """Return how many requests came."""
        return self.receiver.count()

    def shape(self, **given: Any) -> Shape:
        """Return the shape of a load for these users over both channels."""
        return Shape(users=tuple(self.users), channels=BOTH, **given)

    # --- what is there ---

    @property
    def is_over(self) -> bool:
        """Tell whether nothing waits or is leased, as far as the server answers."""
        try:
            return not any(self.deployment.scheduled(name) for name in self._names)
        except redis.RedisError:
            return False

    def status(self, member: str) -> Status:
        """Return the status of a route."""
        return self.deployment.route(member).status

    def requests_of(
        self, member: str, came: Mapping[str, list[Request]] | None = None
    ) -> list[Request]:
        """Return the requests of the generation of a route that it has now, of all that *came*."""
        found = self.receiver.by_id() if came is None else came
        return found.get(self._message_of(member), [])

    def sent(self, *, at_most_once: Collection[str] = ()) -> Sent:
        """Compare what was promised, what Redis has, and what came."""
        promised = {
            member: promise.is_accepted
            for promise in self.journal.promises.values()
            for member in promise.members
        }
        routes = self.deployment.routes()
        promised |= dict.fromkeys(routes.keys() - promised.keys(), True)
        found = judged(promised, routes, self.receiver.by_id(), at_most_once)
        self.deployment.assert_conserved(self.deployment.key_space.shared.channels)
        self.figures.append(str(found))
        return found

    def assert_sent(
        self, *, at_most_once: Collection[str] = (), but: Collection[Status] = ()
    ) -> Sent:
        """Assert that all was delivered, but for what may end as *but*; nothing is lost.

        Nothing of the channels *at_most_once* came again after it may have been delivered. No log
        has a secret or an address.
        """
        found = self.sent(at_most_once=at_most_once)
        assert not found.violations, (str(found), found.violations[:10])
        assert found.statuses.keys() <= {str(Status.DELIVERED), *map(str, but)}, str(found)
        for daemon in self.daemons:
            assert_readable(daemon)
            log = daemon.log.read_text()
            assert SECRET not in log
            assert f":{self.receiver.port}/" not in log
        return found

    def _message_of(self, member: str) -> str:
        return message_id(event_id(member, self.deployment.route(member).generation))


def judged(
    promised: Mapping[str, bool],
    routes: Mapping[str, Route],
    came: Mapping[str, Sequence[Request]],
    at_most_once: Collection[str],
) -> Sent:
    """Compare routes, accepted for certain or perhaps, with what Redis has and what came."""
    judge = _Judge(routes, came, at_most_once)
    for member, is_accepted in promised.items():
        judge.route(member, is_accepted=is_accepted)
    judge.strangers()
    return judge.found()


class _Judge:
    """Holds what came against the routes."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        came: Mapping[str, Sequence[Request]],
        at_most_once: Collection[str],
    ) -> None:
        self._routes = routes
        self._came = came
        self._at_most_once = at_most_once
        self._known: set[str] = set()
        self._statuses: Counter[str] = Counter()
        self._violations: list[str] = []

    def route(self, member: str, *, is_accepted: bool) -> None:
        """Judge a route."""
        route = self._routes.get(member)
        if route is None:
            if is_accepted:
                self._violations.append(f"{member}: accepted, and nowhere")
            return
        self._statuses[str(route.status)] += 1
        message = message_id(event_id(member, route.generation))
        self._known.add(message)
        requests = self._came.get(message, [])
        if route.status is Status.DELIVERED and not any(map(_is_delivered, requests)):
            self._violations.append(f"{member}: delivered, and never came")
        failed = sum(not _is_delivered(each) for each in requests)
        if route.attempts > failed:
            self._violations.append(f"{member}: {route.attempts} attempts, {failed} failed")
        channel = member.partition("/")[2].partition(":")[0]
        if channel in self._at_most_once and not all(map(_has_failed, requests[:-1])):
            self._violations.append(f"{member}: sent again, and it may have been delivered")

    def strangers(self) -> None:
        """Look for what came and belongs to no route."""
        for name in self._came.keys() - self._known:
            self._violations.append(f"{name}: came, and no route has this id")

    def found(self) -> Sent:
        """Return what was found."""
        repeated = sum(sum(map(_is_delivered, each)) > 1 for each in self._came.values())
        requests = sum(map(len, self._came.values()))
        return Sent(self._statuses, requests, repeated, self._violations)


def _is_delivered(request: Request) -> bool:
    return request.status in _DELIVERED


def _has_failed(request: Request) -> bool:
    """Return whether the sender was told that it has failed."""
    return request.status not in (0, *_DELIVERED)


def _channels(
    ports: Sequence[int], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the sections of both channels."""
    hooks = {
        "kind": "webhook",
        "allow": ["127.0.0.0/8"],
        "require_https": False,
        "ports": ports,
    }
    mine = {"kind": "tests.support.own_sends:send"}
    return {
        name: {**own, **_CHANNEL, **given.get(name, {})}
        for name, own in ((HOOKS, hooks), (MINE, mine))
    }
