"""Every key. Those of a shard share the hash tag ``{<prefix>:<shard>}``: one shard is one slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from galaxy_notify.model.ids import hash_tag


def _key(name: str) -> cached_property[str]:
    """Return a property of `Keys`: the key of this name on the shard."""
    return cached_property(lambda keys: f"{keys.tag}{name}")


@dataclass(frozen=True)
class Keys:
    """The keys of one shard; *gateway_stream* empty means the shard's own stream."""

    prefix: str
    shard: int
    gateway_stream: str = ""

    @cached_property
    def tag(self) -> str:
        """Return what every key of the shard starts with."""
        return hash_tag(self.prefix, self.shard)

    @property
    def stream(self) -> str:
        """Return the gateway stream."""
        return self.gateway_stream or f"{self.tag}client-events"

    #: The hash of how many entries trimming took from each group.
    lost = _key("lost")
    #: The stream of entries that consumers could not handle.
    parked = _key("parked")
    #: The stream of what was accepted, for listing.
    accepted = _key("accepted")
    #: The set of paused channels.
    paused = _key("paused")
    #: The hash of since when each paused channel is paused.
    pauses = _key("pauses")
    #: The hash of counts since the deployment began.
    totals = _key("totals")
    #: The hash of what the whole deployment agrees on.
    meta = _key("meta")
    #: The stream of members that were removed because they could not be used.
    orphans = _key("orphans")
    #: The lock of the shard's janitor.
    janitor = _key("janitor")
    #: The sorted set of workers by their last progress.
    workers = _key("workers")
    #: The sorted set of gateway instances by their last progress; on the first shard only.
    gateways = _key("gateways")
    #: The stream of events that were moved out of the way of trimming, until Postgres takes them.
    feed_backlog = _key("feed_backlog")
    #: The sorted set of writers of the feed by their last report.
    feed_writers = _key("feed_writers")
    #: The stream of how routes of external channels ended.
    deliveries = _key("deliveries")
    #: The process that sweeps the counts of the feed; on the first shard only.
    sweeper = _key("sweeper")
    #: The hash of how far that sweep has come; on the first shard only.
    swept = _key("swept")
    #: The mark of a deployment where some user has preferences.
    preferred = _key("preferred")
    #: The mark that ends a write which replicas or the disk confirm.
    confirmed = _key("confirmed")
    # While a cluster moves a slot, Redis refuses a script only if a key that it names is missing.
    # Our scripts build hash names from arguments; on half a slot they would take healthy routes for
    # vanished ones: docs/decisions/0002-never-as-last-key.md
    #: The key that never exists: it makes a moving slot refuse a whole script.
    never = _key("never")

    def notification(self, notification_id: str) -> str:
        """Return the hash of a notification and its routes."""
        return f"{self.tag}notification:{notification_id}"

    def schedule(self, channel: str) -> str:
        """Return the sorted set of members by when they are next due."""
        return f"{self.tag}schedule:{channel}"

    def leases(self, channel: str) -> str:
        """Return the sorted set of leases by when they expire."""
        return f"{self.tag}leases:{channel}"

    def abandoned(self, channel: str) -> str:
        """Return the hash of how often members were left behind."""
        return f"{self.tag}abandoned:{channel}"

    def dead(self, channel: str) -> str:
        """Return the sorted set of dead letters by when they died."""
        return f"{self.tag}dead:{channel}"

    def wake(self, channel: str) -> str:
        """Return the list that wakes a blocked worker."""
        return f"{self.tag}wake:{channel}"

    def rate(self, channel: str) -> str:
        """Return when the next send of an external channel is on time; on the first shard only."""
        return f"{self.tag}rate:{channel}"

    def worker(self, worker_id: str) -> str:
        """Return the hash in which a worker reports that it is alive."""
        return f"{self.tag}worker:{worker_id}"

    def seen(self, group: str) -> str:
        """Return the sorted set of events that a consumer group has handled."""
        return f"{self.tag}seen:{group}"

    def preferences(self, user: str) -> str:
        """Return the hash of a user's preferences."""
        return f"{self.tag}preferences:{user}"

    def contacts(self, user: str) -> str:
        """Return the hash of where external channels reach a user."""
        return f"{self.tag}contacts:{user}"

    def attempts(self, user: str, endpoint: str) -> str:
        """Return the list of the last attempts to send to an endpoint of a user."""
        return f"{self.tag}attempts:{user}:{endpoint}"

    def cooldown(self, kind: str, user: str) -> str:
        """Return the reservation of a user's cooldown of a type."""
        return f"{self.tag}cooldown:{kind}:{user}"

    def newest(self, key: str, user: str) -> str:
        """Return the newest notifications of a collapse key for a user."""
        return f"{self.tag}newest:{key}:{user}"

    def edge(self, key: str) -> str:
        """Return on which side of its threshold a value was last."""
        return f"{self.tag}edge:{key}"

    def recent(self, user: str) -> str:
        """Return the list of the newest events of a user."""
        return f"{self.tag}recent:{user}"

    def unread(self, user: str) -> str:
        """Return the hash of the counts of a user's feed."""
        return f"{self.tag}unread:{user}"

    def tickets(self, user: str) -> str:
        """Return the sorted set of a user's unused tickets, by when they expire."""
        return f"{self.tag}tickets:{user}"

    def logout(self, user: str) -> str:
        """Return when a user was logged out: earlier tokens are refused."""
        return f"{self.tag}logout:{user}"

    def presence(self, user: str) -> str:
        """Return the sorted set of instances that hold connections of a user."""
        return f"{self.tag}presence:{user}"

    def gateway(self, instance: str) -> str:
        """Return the hash in which a gateway instance reports what it serves."""
        return f"{self.tag}gateway:{instance}"


#: Characters that a pattern of SCAN reads as more than themselves.
_SPECIAL: Final = "\\*?[]"


def keys_with(prefix: str) -> str:
    """Return the pattern of SCAN that matches every key with this prefix."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in prefix) + "*"


def inbox_key(prefix: str, instance: str) -> str:
    """Return the stream in which a gateway instance is told of events; it has a slot of its own."""
    return f"{{{prefix}:i:{instance}}}:inbox"


@dataclass(frozen=True)
class IntentKeys:
    """The keys of the intent stream, which is any one outside of the shards."""

    stream: str

    @property
    def rejects(self) -> str:
        """Return the stream of entries that could not be accepted."""
        return f"{self.stream}:rejects"

    @property
    def never(self) -> str:
        """Return the key that never exists: it makes a moving slot refuse a whole script."""
        return f"{self.stream}:never"
