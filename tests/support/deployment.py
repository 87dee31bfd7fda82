"""A deployment on a test server: what is handed in, what stands in Redis, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, cast

from galaxy_notify.errors import Corrupt
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.ids import event_id, split_member
from galaxy_notify.model.route import PUBLISHABLE, Route, Status, decode_route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import names, script
from galaxy_notify.redis_state import calls, dead_rows, leases
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import Settings, settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.dead_letters import DeadLetterFixture
from tests.support.intents import PLAIN
from tests.support.wait import HANG_S
from tests.support.worker import Encode, WorkerHarness

_OPEN = {*PUBLISHABLE, Status.DEAD_LETTER}


_NO_LAPSE_MS = 2_000 * int(HANG_S)


class DeploymentFixture(DeadLetterFixture):
    """A deployment with settings of its own, given as ``section__field=value``.

    Or as ``section={…}``, such as the channels.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self._given = settings
        self.settings = self.settings_at(url)
        deployment = connect(self.settings, join=True)
        # What looks on has more patience than the calls of the product.
        pool = deployment.client.connection_pool
        if "socket_timeout" in pool.connection_kwargs:
            pool.connection_kwargs["socket_timeout"] = HANG_S
            pool.disconnect()
        super().__init__(deployment.client, deployment.shared, prefix=deployment.key_space.prefix)
        self.notifier = Notifier(self.settings)
        self.harnesses: list[WorkerHarness] = []
        #: Whether everything in it came about by the package's own doing.
        self.whole = True

    def settings_at(self, url: str, **settings: Any) -> Settings:
        """Return the settings for a way in at *url*, with these changed."""
        # No lease lapses while a test waits, unless it says so.
        values: dict[str, dict[str, Any]] = {
            "redis": {"url": url},
            "worker": {"lease_ttl_ms": _NO_LAPSE_MS},
        }
        for name, value in (self._given | settings).items():
            section, _, field = name.partition("__")
            values.setdefault(section, {}).update({field: value} if field else value)
        return settings_from(values)

    @property
    def keys(self) -> Keys:
        """Return the keys of the first shard."""
        return self.key_space.keys(0)

    def worker_harness(
        self,
        encode: Encode | None = None,
        *,
        url: str = "",
        name: str = "",
        telemetry: Telemetry | None = None,
        **settings: Any,
    ) -> WorkerHarness:
        """Make a worker that the test steps; it is closed with the deployment."""
        given = self.settings_at(url or self.settings.redis.url, **settings)
        named = name or f"host-2-{len(self.harnesses):04x}"
        made = WorkerHarness(given, encode, name=named, telemetry=telemetry)
        self.harnesses.append(made)
        return made

    def load_scripts(self) -> None:
        """Have the server know all scripts, so that none is sent twice."""
        for name in names():
            self.client.script_load(script(name).source)

    def notify(self, *recipients: str, **fields: Any) -> str:
        """Hand an intent in and return the id of the notification."""
        to = {"recipients": list(recipients)} if recipients else {}
        receipt = self.notifier.accept({**PLAIN, **to, **fields})
        assert receipt.status == "accepted", receipt
        assert receipt.notification_id is not None
        return receipt.notification_id

    def notify_for(self, user: str, left_ms: int, **fields: Any) -> tuple[str, int]:
        """Hand in what soon expires, but not before it is accepted, however long that takes.

        Return the member of the route, and when it expires.
        """
        for longer in (1, 10, 100):
            end = self.now() + longer * left_ms
            named = {"recipients": [user], "expires_at": end}
            receipt = self.notifier.accept({**PLAIN, **named, **fields})
            if receipt.notification_id is not None:
                return member_of(receipt.notification_id, user), end
        raise AssertionError(receipt)

    def claim_alone(self) -> leases.Claim:
        """Take one suspect under a lease."""
        token = f"host-1-abcd:9:30000:{self.now()}"
        limits = leases.ClaimLimits(256, 30_000, 4 << 20, 300_000, 0)
        call = leases.route_claim(self.keys, "push", token, limits, alone=True, now=None)
        return leases.read_claim(run_sync(self.client, call), token)

    def replay(self, member: str) -> None:
        """Send a dead letter on its way again."""
        notification_id, _, route_id = member.partition("/")
        before, after = self.state(member) or b"", self.route(member).replayed("me")
        change = dead_rows.DeadChange(notification_id, route_id, before, after)
        assert calls.words(run_sync(self.client, dead_rows.route_replay(self.keys, [change]))) == [
            "replayed"
        ]

    def now(self) -> int:
        """Return the server's clock in ms."""
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def entries(self) -> list[dict[str, bytes]]:
        """Return the fields of all gateway events, shard by shard."""
        found: list[dict[str, bytes]] = []
        for keys in self.key_space.all_keys:
            stream: Any = self.client.xrange(keys.stream)
            for stream_id, fields in stream:
                entry = {name.decode(): value for name, value in fields.items()}
                found.append({"stream_id": stream_id, **entry})
        return found

    def event_ids(self) -> list[str]:
        """Return the event ids of all gateway events."""
        return [entry["event_id"].decode() for entry in self.entries()]

    def due(self, channel: str = "push") -> dict[str, int]:
        """Return the schedule: member → score."""
        found: dict[str, int] = {}
        for keys in self.key_space.all_keys:
            pairs: Any = self.client.zrange(keys.schedule(channel), 0, -1, withscores=True)
            found |= {member.decode(errors="replace"): ceil(score) for member, score in pairs}
        return found

    def leases(self, channel: str = "push") -> dict[str, str]:
        """Return the leases: member → token."""
        found: dict[str, str] = {}
        for keys in self.key_space.all_keys:
            leases: Any = self.client.zrange(keys.leases(channel), 0, -1, withscores=True)
            for token, score in leases:
                held: Any = self.client.zrangebyscore(keys.schedule(channel), score, score)
                found |= {member.decode(errors="replace"): token.decode() for member in held}
        return found

    def move_leases(self, lapses: float, channel: str = "push") -> None:
        """Have all leases lapse at another time, as if the clock had moved."""
        for keys in self.key_space.all_keys:
            leases: Any = self.client.zrange(keys.leases(channel), 0, -1, withscores=True)
            for number, (token, score) in enumerate(leases, 1):
                to, schedule = int(lapses) - number / 4096, keys.schedule(channel)
                held: Any = self.client.zrangebyscore(schedule, score, score)
                if held:
                    self.client.zadd(schedule, dict.fromkeys(held, to))
                self.client.zadd(keys.leases(channel), {token: to})

    def routes(self) -> dict[str, Route]:
        """Return every route there is: member → route."""
        return {member: route for _, routes in self._notifications() for member, route in routes}

    def statuses(self) -> dict[str, str]:
        """Return the status of every route by recipient."""
        return {member.rpartition(":")[2]: str(r.status) for member, r in self.routes().items()}

    def totals(self) -> dict[str, int]:
        """Return what was counted, over all shards."""
        found: dict[str, int] = {}
        for keys in self.key_space.all_keys:
            counts = cast("dict[bytes, bytes]", self.client.hgetall(keys.totals))
            for name, count in counts.items():
                found[name.decode()] = found.get(name.decode(), 0) + int(count)
        return found

    def orphans(self) -> dict[str, str]:
        """Return what was removed because its record could not be used: member → reason."""
        found: Any = self.client.xrange(self.keys.orphans)
        return {f[b"member"].decode(errors="replace"): f[b"reason"].decode() for _, f in found}

    def assert_sound(self) -> None:
        """Assert what holds at every rest: each route in its one place, none lost or doubled."""
        channels = self.key_space.shared.channels
        due = {member for channel in channels for member in self.due(channel)}
        dead = {member for channel in channels for member in self.dead(channel)}
        leased = {member for channel in channels for member in self.leases(channel)}
        assert leased <= due
        published: dict[str, Route] = {}
        for key, routes in self._notifications():
            statuses = [route.status for _, route in routes]
            still_open = sum(status in _OPEN for status in statuses)
            assert int(self._field(key, "open")) == still_open, key
            expires = self.client.pttl(key) >= 0
            assert expires == (still_open == 0), key
            for member, route in routes:
                assert (member in due) == (route.status in PUBLISHABLE), (member, route)
                assert (member in dead) == (route.status is Status.DEAD_LETTER), (member, route)
                if route.status is Status.PUBLISHED:
                    published[event_id(member, route.generation)] = route
        self._assert_stream(published)
        self.assert_conserved(channels)

    def close(self) -> None:
        """Close everything that was opened."""
        for harness in self.harnesses:
            harness.close()
        self.notifier.close()
        self.client.close()

    def _assert_stream(self, published: dict[str, Route]) -> None:
        entries = self.entries()
        by_event = {entry["event_id"].decode(): entry for entry in entries}
        assert len(by_event) == len(entries), "an event stands twice in the stream"
        if self.total("published") == len(entries):  # nothing was trimmed
            latest = {name: one for name, one in by_event.items() if name in published}
            assert latest.keys() == published.keys()
        for name, route in published.items():
            entry = by_event.get(name)
            if entry is not None:
                assert entry["stream_id"].decode() == route.stream_id
                assert int(entry["stream_id"].partition(b"-")[0]) >= route.due_at_ms

    def _decoded(self, state: bytes) -> Route | None:
        try:
            return decode_route(state)
        except Corrupt:
            if self.whole:
                raise
            return None

    def _field(self, key: str, name: str) -> bytes:
        value = cast("bytes | None", self.client.hget(key, name))
        return value or b""

    def _notifications(self) -> list[tuple[str, list[tuple[str, Route]]]]:
        found = []
        for keys in self.key_space.all_keys:
            for raw in cast("list[bytes]", self.client.keys(f"{keys.tag}notification:*")):
                fields = cast("dict[bytes, bytes]", self.client.hgetall(raw))
                notification = raw.decode(errors="replace").rpartition(":")[2]
                routes = [
                    (f"{notification}/{name.decode(errors='replace')}", route)
                    for name, state in fields.items()
                    if b":" in name and (route := self._decoded(state)) is not None
                ]
                if b"record" in fields:
                    found.append((raw.decode(errors="replace"), routes))
        return found


def member_of(notification_id: str, recipient: str = "user-7", channel: str = "push") -> str:
    """Return the member of one route."""
    member = f"{notification_id}/{channel}:{recipient}"
    assert split_member(member.encode())
    return member


#: The fixture `deploy`: makes a deployment on a server, with settings as ``section__field=value``.
Deploy = Callable[..., DeploymentFixture]
