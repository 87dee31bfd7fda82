"""What must hold at the end of a schedule."""

from __future__ import annotations

from typing import Any

from galaxy_notify.model.ids import event_id
from galaxy_notify.model.notification import decode_notification
from galaxy_notify.model.route import PUBLISHABLE, TRANSITIONS, Route, Status, decode_route
from galaxy_notify.operations.fsck import Fsck
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.shared_settings import KeySpace
from tests.properties.simulation.support.actors import CHANNELS, Journal
from tests.properties.simulation.support.server import VirtualServer

_ENDS = ("published", "cancelled", "expired", "purged")
_CLASSES = ("payload_encoding_failed", "lease_abandoned")
_MAX_ABANDONED = 5


class Verdict:
    """Reads all that is there, and compares it with what people were told."""

    def __init__(self, server: VirtualServer, key_space: KeySpace, journal: Journal) -> None:
        self.published = 0
        self._server = server
        self._client = server.client
        self._key_space = key_space
        self._keys = key_space.keys(0)
        self._journal = journal

    def waiting(self) -> list[bytes]:
        """Return what is scheduled still, and the leases that have not ended."""
        found: list[bytes] = []
        for channel in CHANNELS:
            for key in (self._keys.schedule(channel), self._keys.leases(channel)):
                page: Any = self._client.zrange(key, 0, -1)
                found += page
        return found

    def check(self) -> None:
        """Assert all of it."""
        prefix = self._keys.notification("")
        names: Any = self._client.keys(f"{prefix}*")
        found = {}
        for key in sorted(names):
            fields: Any = self._client.hgetall(key)
            found[key.decode().removeprefix(prefix)] = fields
        known = {name for name, fields in found.items() if b"record" in fields}
        assert self._journal.accepted <= known, "I1: lost"
        routes = {
            f"{name}/{field.decode()}": decode_route(state)
            for name, fields in found.items()
            for field, state in fields.items()
            if b":" in field
        }
        for member, route in routes.items():
            self._route(member, route, found[member.partition("/")[0]][b"record"])
        self._stream(routes, found)
        self._totals(routes)
        self._left_nothing()

    def _route(self, member: str, route: Route, record: bytes) -> None:
        name = member.partition("/")[0]
        assert route.status not in PUBLISHABLE, f"I1: {member} is {route.status}, not scheduled"
        assert route.generation <= 1 + self._journal.replays[member], "I8: replayed twice"
        raised = self._journal.raised[name, route.generation]
        assert route.attempts <= raised, f"I9: {member} paid for {route.attempts} of {raised}"
        mood = decode_notification(name, record).producer
        for line in route.history:
            if line.failure_class:
                assert line.failure_class in _CLASSES, f"{member}: {line}"
                fine = mood == "fine" and line.failure_class == "payload_encoding_failed"
                assert not fine, f"{member} never failed to be encoded: {line}"
        if route.status is Status.PUBLISHED:
            late_enough = route.at_ms + self._server.stepped_back_ms >= route.due_at_ms
            assert late_enough, f"I3: {member} at {route.at_ms}, due {route.due_at_ms}"
        assert route.status in {s for after in TRANSITIONS.values() for s in after}

    def _stream(self, routes: dict[str, Route], found: dict[str, dict[bytes, bytes]]) -> None:
        entries: Any = self._client.xrange(self._keys.stream)
        events = [fields[b"event_id"].decode() for _, fields in entries]
        assert len(set(events)) == len(events), "I2: twice in the stream"
        expected = {
            event_id(member, route.generation): route.stream_id
            for member, route in routes.items()
            if route.status is Status.PUBLISHED
        }
        told = {f[b"event_id"].decode(): stream_id.decode() for stream_id, f in entries}
        assert told == expected, "I2: stream and states differ"
        for _, fields in entries:
            name = fields[b"event_id"].decode().partition("/")[0]
            record = decode_notification(name, found[name][b"record"])
            assert fields[b"payload_bytes"] == record.packed, "I4: another payload"
        self.published = len(events)

    def _totals(self, routes: dict[str, Route]) -> None:
        raw: Any = self._client.hgetall(self._keys.totals)
        totals = {name.decode(): int(count) for name, count in raw.items()}
        dead = sum(self._client.zcard(self._keys.dead(c)) for c in CHANNELS)
        ended = sum(totals.get(end, 0) for end in _ENDS)
        assert totals.get("accepted", 0) == len(routes) == dead + ended, f"conservation: {totals}"
        replays = sum(self._journal.replays.values())
        assert totals.get("replayed", 0) <= replays, "I8: replayed more often than asked"

    def _left_nothing(self) -> None:
        names = (getattr(self._keys, kind)(c) for kind in ("leases", "abandoned") for c in CHANNELS)
        left = [name for name in names if self._client.exists(name)]
        assert not left, f"I6: left behind: {left}"
        deployment = Deployment(self._client, self._key_space)
        assert list(Fsck(deployment, "sim").run()) == [], "fsck"
