"""Workers that publish by one script, without leases, beside those that claim and settle."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from galaxy_notify.model.route_body import published_line
from galaxy_notify.redis_state.leases import ClaimLimits
from galaxy_notify.redis_state.publish_call import (
    Published,
    PublishTerms,
    read_published,
    route_publish,
)
from tests.properties.model.support.expected import CHANNELS, KEEPS, Model
from tests.properties.model.support.machine import ShardMachine
from tests.properties.model.support.observed import Observed
from tests.scripts.support.shard import TTL, WORKER, split

_TERMS = PublishTerms(262_144, published_line(WORKER), KEEPS, {})
#: A history with more lines is left to a worker that can shorten it.
_MOST_LINES = 14


def is_plain(model: Model, member: str, now: int) -> bool:
    """Tell whether a member that is due needs neither a lease nor a decision of a worker."""
    route, made = model.routes[member], model.notifications.get(split(member)[0])
    if made is None or route.status != "pending" or route.attempts or route.left_behind:
        return False
    late = made.expires is not None and made.expires <= now and route.generation == 1
    return route.due <= now and not late


def publish(model: Model, member: str, now: int) -> None:
    """Have a route published."""
    route, name = model.routes[member], split(member)[0]
    model.events.append(member + (f"#{route.generation}" if route.generation > 1 else ""))
    model.end(member, "published", now)
    model.release_record(name, model.notifications[name].keep, now)


class Publishing(ShardMachine):
    """They come at any time: while routes are under lease, paused, or after a lease has expired."""

    def publish(self, random: Random) -> None:
        """Plain routes that are due are published in their order; the others stay as they are."""
        busy = [c for c in CHANNELS if self.model.due(c, self.now)]
        hold = random.choice((0, 0, 0, 0, 0, 1, 3))
        self._publish(random.choice(busy or CHANNELS), random.choice((1, 2, 4, 256)), hold)

    def publish_after_settling(self, random: Random) -> None:
        """The script runs with no lease that has expired: a claim has ended those there were."""
        channel = random.choice(CHANNELS)
        if any(where == channel and at <= self.now for where, at, _ in self.model.leases.values()):
            return
        self._publish(channel, 256, 0)
        self._publish(channel, 256, 0)

    def _publish(self, channel: str, limit: int, hold: int) -> None:
        shard, model = self.shard, self.model
        shard.client.delete(shard.keys.wake(channel))
        due = self._due(channel, limit)
        plain = [m for m in due if is_plain(model, m, self.now) and self._is_short(m)]
        limits = ClaimLimits(limit, TTL, 4 << 20, 300_000, hold)
        call = route_publish(shard.keys, channel, limits, _TERMS, self.now)
        published = read_published(shard.run(call))
        assert published.now_ms == self.now
        leases = [at for where, at, _ in model.leases.values() if where == channel]
        if channel in model.paused:
            assert published.word == "paused"
        elif 0 < hold <= len(model.events):
            assert (published.word, published.stream_length) == ("held", len(model.events))
        elif min(leases, default=self.now + 1) <= self.now:
            assert (published.word, published.routes, published.left) == ("published", 0, limit)
        elif not due:
            later = [at for at in model.schedule(channel).values() if at > self.now]
            assert (published.word, published.next_due_ms) == ("idle", min(later, default=None))
        else:
            self._assert_published(published, due, plain)
            full = len(due) == limit
            assert not full or Observed(shard).indexes["wake", channel] == 1, "nobody goes on"

    def _assert_published(
        self, published: Published, due: Sequence[str], plain: Sequence[str]
    ) -> None:
        dues = sorted(self.model.routes[m].due for m in plain)
        for member in plain:
            publish(self.model, member, self.now)
        assert published.word == "published"
        assert (published.routes, published.left) == (len(plain), len(due) - len(plain))
        assert published.stream_length == len(self.model.events)
        assert sum(count for _, count in published.types) == len(plain)
        assert sorted(at for at, count in published.dues for _ in range(count)) == dues

    def _due(self, channel: str, limit: int) -> list[str]:
        """Return what is due first; equal times of the model may differ behind the point."""
        client, schedule = self.shard.client, self.shard.keys.schedule(channel)
        found: Any = client.zrangebyscore(schedule, "-inf", self.now, start=0, num=limit)
        return [member.decode() for member in found]

    def _is_short(self, member: str) -> bool:
        return len(self.shard.route(member).history) <= _MOST_LINES
