"""A state machine: it drives the scripts and the model alike, and compares them after each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any, ClassVar

import redis
from hypothesis.stateful import RuleBasedStateMachine, invariant

from galaxy_notify.model.notification import NewNotification, Notification, RouteGroup
from galaxy_notify.model.route import PUBLISHABLE, decode_route, initial_state
from galaxy_notify.redis_client.scripts import Script, ScriptCall
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.accept_calls import intent_accept
from tests.properties.model.support.expected import CHANNELS, KEEPS, Model
from tests.properties.model.support.observed import Observed
from tests.properties.model.support.things import Asked
from tests.scripts.support.shard import NOW, TTL, Shard, split
from tests.support.records import encode_notification

_CONTENT = b"\x81\xa4data\x80"
_ROUTES = ("email:u1", "push:u1", "push:u2", "push:u3")
#: How time passes: around the ends of leases and of what is kept.
_STEPS = (1, 400, 400, 5_000, 5_000, TTL - 1, TTL, TTL + 1, 3_700_000)


class Driven(Shard):
    """A shard whose scripts may be replaced by others."""

    mutants: Mapping[str, Script] = {}

    def run(self, call: ScriptCall) -> Any:
        """Run a script at the shard's time."""
        script = self.mutants.get(call.script.name, call.script)
        return super().run(call._replace(script=script))


class ShardMachine(RuleBasedStateMachine):
    """What all machines share: the shard, the model, and their comparison."""

    connect: ClassVar[Callable[[], redis.Redis]]
    mutants: ClassVar[Mapping[str, Script]] = {}

    def __init__(self) -> None:
        super().__init__()
        client = type(self).connect()
        client.flushall()
        self.shard = Driven(client)
        self.shard.mutants = self.mutants
        self.model = Model()
        self.vanished: set[str] = set()
        self._numbers = 0

    @property
    def now(self) -> int:
        """Return the shard's time."""
        return self.shard.now

    def fresh(self) -> str:
        """Return an id that nobody had before."""
        self._numbers += 1
        return f"{self._numbers:032x}"

    def known(self, random: Random) -> str:
        """Return an id that somebody may have had before, a late one."""
        return f"{max(1, self._numbers - random.randrange(8)):032x}"

    @invariant()
    def agree(self) -> None:
        """The shard holds what the model holds, and all routes are accounted for."""
        observed = Observed(self.shard)
        expected = self.model.view()
        for part, found in observed.view.items():
            assert found == expected[part], f"{part}: {found} is not {expected[part]}"
        observed.assert_sound()
        self.model.assert_conserved()

    def time_passes(self, random: Random) -> None:
        """What is not kept any longer expires."""
        self.pass_time(random.choice(_STEPS))

    def pass_time(self, ms: int) -> None:
        """Let so much time pass."""
        self.shard.now += ms
        for name in self.model.forget(self.now):
            self.shard.client.delete(self.shard.keys.notification(name))

    def teardown(self) -> None:
        """Close the connection."""
        self.shard.client.close()


class Producers(ShardMachine):
    """Producers: they accept, and take back."""

    def accept(self, random: Random) -> None:
        """Each is accepted once; those due first are announced."""
        items = [self._asked(random) for _ in range(random.randint(1, 3))]
        items = [item for item in items if item.notification_id not in self.vanished]
        if not items:
            return
        heads = {c: min(self.model.schedule(c).values(), default=None) for c in CHANNELS}
        call = intent_accept(self.shard.keys, [_handed_in(item) for item in items])
        answers = calls.answers(self.shard.run(call))
        before = set(self.model.routes)
        assert [a.word for a in answers] == self.model.accept(items, self.now)
        observed = Observed(self.shard)
        for member, route in self.model.routes.items():
            channel = split(member)[1].partition(":")[0]
            head = heads[channel]
            is_first = head is None or route.due <= self.now or route.due < head
            if member not in before and route.status == "pending" and is_first:
                assert observed.indexes["wake", channel] == 1, "nobody was told"

    def _asked(self, random: Random) -> Asked:
        name = self.known(random) if random.random() < 0.3 else self.fresh()
        due = random.choice((None, None, None, -5_000, 400, 5_000, 2 * TTL))
        expires = random.choice((None, None, None, 1, 5_400, TTL))
        return Asked(
            name,
            random.choice((b"digest-1", b"digest-1", b"digest-2")),
            tuple(sorted(random.sample(_ROUTES, random.choice((1, 1, 2, 4))))),
            None if due is None else self.now + due,
            None if expires is None else self.now + expires,
            KEEPS[int(name, 16) % 2],
            random.random() < 0.1,
        )

    def cancel(self, random: Random) -> None:
        """What is not in the stream yet is taken back, leased or not; a whole one is marked."""
        name = self.known(random) if random.random() < 0.9 else f"{self._numbers + 1:032x}"
        if name not in self.vanished:
            self._cancel(name, random.choice((None, *_ROUTES)), b"")

    def cancel_stale(self, random: Random) -> None:
        """A route that changed since it was read is left as it is."""
        name = self.known(random)
        if name in self.model.notifications:
            self._cancel(name, "none", b"?")

    def _cancel(self, name: str, route: str | None, before: bytes) -> None:
        fields: Any = self.shard.client.hgetall(self.shard.keys.notification(name))
        states = {n.decode(): state for n, state in fields.items() if b":" in n}
        wanted = states if route is None or before else {route: states.get(route, b"")}
        changes = [
            calls.RouteChange(n, before or state, decode_route(state).cancelled("cli:ann"))
            for n, state in wanted.items()
            if state and decode_route(state).status in PUBLISHABLE
        ]
        keep, mark = KEEPS[int(name, 16) % 2], route is None
        call = calls.route_cancel(self.shard.keys, name, changes, keep_ms=keep, mark=mark)
        known = "known" if states else "unknown"
        told = ["changed" if before else "cancelled"] * len(changes)
        assert calls.words(self.shard.run(call)) == [known, *told]
        members = [] if before else [f"{name}/{change.route_id}" for change in changes]
        if name in self.model.notifications or mark:
            self.model.cancel(name, members, self.now, keep=keep, mark=mark)


class Operators(Producers):
    """Operators and the janitor: they replay, purge, pause, shorten leases and streams."""

    def move_dead(self, random: Random) -> None:
        """A dead letter is moved once; what is none is left as it is."""
        names = sorted(m for m in self.model.routes if split(m)[0] in self.model.notifications)
        verb, usual = (
            random.choice(("replay", "purge")),
            random.choice((self.dead, self.dead, names)),
        )
        if not usual:
            return
        members = random.choices(usual, k=random.randint(1, 4))
        changes = [self.shard.dead_change(member, verb) for member in members]
        keep, told = KEEPS[int(split(members[0])[0], 16) % 2], []
        changes = [c for c in changes if KEEPS[int(c.notification_id, 16) % 2] == keep]
        for change in changes:
            member = f"{change.notification_id}/{change.route_id}"
            move = self.model.replay if verb == "replay" else partial(self._purge, keep)
            told.append(move(member, self.now))
        if verb == "replay":
            call = dead_rows.route_replay(self.shard.keys, changes)
        else:
            call = dead_rows.route_purge(self.shard.keys, changes, keep)
        assert calls.words(self.shard.run(call)) == told

    @property
    def dead(self) -> list[str]:
        """Return the dead letters."""
        return sorted(m for m, route in self.model.routes.items() if route.died is not None)

    def _purge(self, keep: int, member: str, now: int) -> str:
        return self.model.purge(member, keep, now)

    def pause_or_resume(self, random: Random) -> None:
        """A paused channel is not claimed."""
        channel, pause = random.choice(CHANNELS), random.random() < 0.4
        known = (channel in self.model.paused) == pause
        call = (calls.channel_pause if pause else calls.channel_resume)(self.shard.keys, channel)
        word = calls.words([self.shard.run(call)])[0]
        assert word == ("already" if known else "paused" if pause else "resumed")
        (self.model.paused.add if pause else self.model.paused.discard)(channel)

    def clock_set_back(self, random: Random) -> None:
        """The clock of the server is set back, and the janitor may come to see it."""
        # To where a new lease would lapse just when one did that has ended.
        left = [
            self.now + TTL - route.scheduled
            for route in self.model.routes.values()
            if route.left_behind and route.lease is None and route.scheduled is not None
        ]
        step = random.choice((1, 400, 5_000, TTL, 2 * TTL, *left[:3]))
        self.shard.now = max(NOW - 10 * TTL, self.now - max(1, step))
        for channel in CHANNELS if random.random() < 0.5 else ():
            self.lapse(channel)

    def lapse(self, channel: str) -> None:
        """After a clock was set back no lease lasts longer than it may."""
        shortened = self.model.lapse(channel, self.now)
        assert self.shard.run(calls.lease_shorten(self.shard.keys, channel)) == len(shortened)
        found = Observed(self.shard).view["leases"]
        for token in shortened:
            longest = self.now + TTL
            # What would have the same score keeps a ms of distance each.
            apart = len(self.model.leases) + len(self.model.routes)
            assert longest - apart <= found[token] <= longest
            self.model.move_lease(token, found[token])

    def trim(self, random: Random) -> None:
        """A stream nobody reads is cut to its length, the oldest first."""
        keep = random.choice((1, 3))
        gone, length = self.shard.run(calls.stream_trim(self.shard.keys, keep, 10**15))[:2]
        assert gone + length == len(self.model.events)
        assert length == min(keep, len(self.model.events))
        del self.model.events[:gone]

    def misplace(self, random: Random) -> None:
        """Damage: a route stands in the schedule before its time, or beside the dead."""
        routes = self.model.routes
        found = sorted(m for m, r in routes.items() if r.lease is None and r.left_behind == 0)
        found = [m for m in found if routes[m].status in ("pending", "failed", "dead_letter")]
        if found:
            member = random.choice(found)
            channel = split(member)[1].partition(":")[0]
            self.shard.client.zadd(self.shard.keys.schedule(channel), {member: self.now})
            routes[member].scheduled = self.now

    def vanish(self, random: Random) -> None:
        """Damage: a notification is lost while its routes wait."""
        model = self.model
        found = sorted(
            name
            for name, made in model.notifications.items()
            if made.routes and all(model.routes[m].died is None for m in made.routes)
        )
        if found:
            name = random.choice(found)
            self.shard.client.delete(self.shard.keys.notification(name))
            model.vanish(name)
            self.vanished.add(name)


def _handed_in(item: Asked) -> NewNotification:
    made = Notification(
        notification_id=item.notification_id,
        created_at_ms=NOW,
        type="game.ready",
        producer="lobby",
        content=_CONTENT,
        expires_at_ms=item.expires,
        routes=len(item.routes),
        idempotency_key="key" if item.keep == KEEPS[1] else "",
    )
    record = encode_notification(made, item.digest)
    groups = [RouteGroup(initial_state(None, item.due, item.born_cancelled), item.routes)]
    return NewNotification(item.notification_id, record, item.keep, groups)
