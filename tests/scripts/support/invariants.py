"""What must hold of a shard whatever happened, and the worker that brings it to rest."""

from __future__ import annotations

from random import Random
from typing import Any

from galaxy_notify.encoding import load_encoder
from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import PUBLISHABLE, Route, Status, decode_route
from galaxy_notify.publishing.batch import BatchDecisions
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_state import calls, leases
from galaxy_notify.redis_state.leases import Claim
from galaxy_notify.redis_state.settlement import Settlement
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.scripts.support.shard import TTL, Shard, split

CHANNELS = ("push", "email")
_FINAL = ("published", "cancelled", "expired", "skipped", "purged")
_NEEDED = PUBLISHABLE | {Status.DEAD_LETTER}


def routes_of(shard: Shard) -> dict[str, Route]:
    """Return every route of every notification, by its member."""
    found = {}
    prefix = shard.keys.notification("")
    for key in shard.client.scan_iter(match=_escaped(prefix) + "*", count=1000, _type="HASH"):
        fields: Any = shard.client.hgetall(key)
        made = key.decode().removeprefix(prefix)
        # What a write left of a vanished one, where it could not be taken back, is none.
        if b"open" not in fields or (fields[b"open"] == b"0" and b"record" not in fields):
            continue
        for name, state in fields.items():
            if b":" in name:
                found[f"{made}/{name.decode()}"] = decode_route(state)
    return found


def assert_consistent(shard: Shard, *, undone: bool = True) -> None:
    """Assert what holds at every moment, even after a script was cut short.

    Not *undone* means that nobody could take an event back that should not be there.
    """
    routes = routes_of(shard)
    _assert_events_are_states(shard, routes, undone=undone)
    _assert_nothing_lost(shard, routes)
    _assert_records_kept(shard, routes)


def _assert_events_are_states(shard: Shard, routes: dict[str, Route], *, undone: bool) -> None:
    """No event without a published route, and no published route without its one event."""
    events = {
        fields["event_id"].decode(): made for made, fields in shard.events() if "event_id" in fields
    }
    assert len(events) == sum("event_id" in fields for _, fields in shard.events()), "twice"
    published = {
        event_id(member, route.generation): route.stream_id
        for member, route in routes.items()
        if route.status is Status.PUBLISHED
    }
    assert events.items() >= published.items()
    assert events == published or not undone


def _assert_nothing_lost(shard: Shard, routes: dict[str, Route]) -> None:
    """Whatever is not final stands in an index that leads to it."""
    for member, route in routes.items():
        channel = split(member)[1].partition(":")[0]
        anywhere = any(member in shard.schedule(c) for c in CHANNELS)
        if route.status in PUBLISHABLE:
            assert anywhere, f"lost: {member}"
        elif route.status is Status.DEAD_LETTER:
            assert anywhere or member in shard.dead(channel), f"lost: {member}"


def _assert_records_kept(shard: Shard, routes: dict[str, Route]) -> None:
    """A notification that a route needs never expires, and never counts too few of them."""
    for member in routes:
        made = split(member)[0]
        needed = sum(route.status in _NEEDED for m, route in routes.items() if split(m)[0] == made)
        assert shard.open(member) >= needed, f"open is too small: {made}"
        if needed:
            assert shard.client.pttl(shard.hash_of(member)) == -1, f"expires: {made}"


def assert_at_rest(shard: Shard, *, exact: bool = True, undone: bool = True) -> None:
    """Assert that every accepted route came to its end; *exact*: also every count."""
    assert_consistent(shard, undone=undone)
    routes = routes_of(shard)
    for channel in CHANNELS:
        assert shard.schedule(channel) == {}
        assert not shard.client.exists(shard.keys.leases(channel), shard.keys.abandoned(channel))
    for member, route in routes.items():
        dead = member in shard.dead(split(member)[1].partition(":")[0])
        assert dead == (route.status is Status.DEAD_LETTER), member
        assert route.status not in PUBLISHABLE, member
    if exact:
        assert_counted(shard)


def assert_counted(shard: Shard) -> None:
    """Assert the identity of the totals, and that each notification counts its open routes."""
    rest = sum(len(shard.schedule(c)) + len(shard.dead(c)) for c in CHANNELS)
    assert shard.total("accepted") == rest + sum(shard.total(name) for name in _FINAL)
    routes = routes_of(shard)
    for member in routes:
        made = split(member)[0]
        needed = [m for m, r in routes.items() if split(m)[0] == made and r.status in _NEEDED]
        assert shard.open(member) == len(needed), made
        assert (shard.client.pttl(shard.hash_of(member)) == -1) == bool(needed), made


def converge(shard: Shard, rounds: int = 8) -> None:
    """Work as a worker does until nothing is scheduled any more."""
    policy = Policy("host-7-good", load_encoder("msgpack"), SharedSettings(), rng=Random(1))
    for _ in range(rounds):
        shard.now += TTL + 10_000
        for channel in CHANNELS:
            shard.run(calls.lease_shorten(shard.keys, channel))
            while _claim_and_settle(shard, policy, channel):
                pass
        indexes = [
            f(channel) for f in (shard.keys.schedule, shard.keys.leases) for channel in CHANNELS
        ]
        if not shard.client.exists(*indexes):
            return


def _claim_and_settle(shard: Shard, policy: Policy, channel: str) -> bool:
    shard.claims += 1
    token = f"host-7-good:0:{TTL}:{shard.claims}"
    claim = shard.claim(token, channel=channel)
    if not claim.members and claim.suspects:
        claim = shard.claim(token, channel=channel, alone=True)
    if not claim.members:
        return False
    _settle(shard, BatchDecisions(policy, channel, claim), channel, claim)
    return True


def _settle(shard: Shard, batch: BatchDecisions, channel: str, claim: Claim) -> None:
    for member in claim.members:
        batch.add(member)
    if batch.decisions:
        settlement = Settlement(decision.outcome for decision in batch.decisions)
        shard.settle(settlement, claim.token, channel)
    if batch.corrections:
        shard.run(leases.route_reposition(shard.keys, channel, claim.token, batch.corrections))


def _escaped(prefix: str) -> str:
    return prefix.replace("[", "\\[")
