"""Where the primary is, as sentinels or cluster nodes report it: plain steps, without I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from time import monotonic
from typing import Any, ClassVar, Final, NamedTuple

from redis.crc import key_slot

from galaxy_notify.redis_client.faults import Remedy, classify
from galaxy_notify.redis_client.replies import pairs

#: Shortest time between two searches while the topology is stale, in seconds.
_STALE_S: Final = 0.5
#: A search is followed by a rest of this many times its duration, so that nodes which do not answer
#: cost callers a tenth of their time at most; a stale topology is worth as much as a search takes.
_REST: Final = 10
_REST_WHEN_STALE: Final = 1
# In place of a host: the node is to be reached by its host name, and has none.
_NO_NAME: Final = (None, b"", b"?")
# After a failover some nodes still name the old primary. So while the topology is stale, the same
# address is accepted again only when this many nodes have answered and none named another.
_OPINIONS: Final = 3


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


#: Yields the node to ask; is sent its reply, or the error that stands in its place.
Asking = Generator[Address, Any, None]


class Topology(ABC):
    """What is known of the primaries, and which nodes can be asked.

    An answer is valid until it is marked stale, or for `watched_s`. While no node answers, the last
    one stays valid: a primary may work although every node that could name it is away.
    """

    command: tuple[str, ...]
    #: After this many seconds the nodes are asked again although nothing went wrong.
    watched_s: ClassVar[float]

    def __init__(self, nodes: Iterable[Address]) -> None:
        self._nodes = deque(nodes)
        self._asked_at = float("-inf")
        self._is_stale = True
        self._took_s = 0.0
        #: Why there is no answer.
        self.complaint = "no node was asked yet"
        #: Why a node asked last does not permit the command: waiting does not help. Else empty.
        self.refusal = ""

    @abstractmethod
    def address(self, slot: int) -> Address | None:
        """Return the node that serves a slot; None if it is not known."""

    @abstractmethod
    def _take(self, reply: Any, asked: Address) -> bool:
        """Store an answer; return whether it changed anything. Raises `ValueError`."""

    def moved(self, slot: int, to: Address) -> None:
        """Store where a node said that a slot is, and mark the topology stale."""
        del slot, to
        self.mark_stale()

    @property
    def nodes(self) -> list[Address]:
        """Return the nodes that can be asked, the most likely to answer first."""
        return list(self._nodes)

    def mark_stale(self) -> None:
        """Ask again soon: the primary cannot be reached, or says that it is not the primary."""
        self._is_stale = True

    def is_due(self) -> bool:
        if self._is_stale:
            holds_s = max(_STALE_S, _REST_WHEN_STALE * self._took_s)
        else:
            holds_s = max(self.watched_s, _REST * self._took_s)
        return monotonic() - self._asked_at >= holds_s

    def asking(self) -> Asking:
        """Ask one node after the other until one gives an answer to go by."""
        began = monotonic()
        try:
            yield from self._asking()
        finally:
            self._asked_at = monotonic()
            self._took_s = self._asked_at - began

    def _asking(self) -> Asking:
        self.refusal = ""
        was_stale, opinions = self._is_stale, 0
        for node in list(self._nodes):
            is_new = self._heard((yield node), node)
            if is_new is not None:
                self._is_stale = False
                opinions += 1
                if is_new or not was_stale or opinions == _OPINIONS:
                    return
            if node in self._nodes:  # it is asked last from now on
                self._nodes.remove(node)
                self._nodes.append(node)

    def _heard(self, reply: Any, node: Address) -> bool | None:
        """Store a reply; return whether it changed anything, None where it cannot be used."""
        if isinstance(reply, Exception):
            self.complaint = f"{node} does not answer: {_line(reply)}"
            if classify(reply).remedy is Remedy.CONFIGURE:
                self.refusal = self.complaint
            return None
        try:
            return self._take(reply, node)
        except (ValueError, TypeError, IndexError) as error:
            self.complaint = _line(error)
            return None


# redis-py's Sentinel looks only when it connects, each caller by itself, and never goes by what it
# knew: docs/decisions/0007-own-sentinel-lookup.md
class SentinelTopology(Topology):
    """The primary of a set that sentinels watch."""

    # A forced failover leaves the old primary writing for seconds; frequent checks lose less.
    watched_s = 1.0

    def __init__(self, sentinels: Iterable[Address], name: str) -> None:
        super().__init__(sentinels)
        self.command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        #: The command that reads all that a sentinel knows.
        self.details = ("SENTINEL", "MASTER", name)
        self._name = name
        self._primary: Address | None = None

    def address(self, slot: int) -> Address | None:
        del slot
        return self._primary

    def _take(self, reply: Any, asked: Address) -> bool:
        if reply is None:
            raise ValueError(f"sentinel {asked} has no primary named {self._name}")
        host, port = reply
        found = Address(_text(host), int(port))
        is_new, self._primary = found != self._primary, found
        return is_new


class ClusterTopology(Topology):
    """The primaries of a Redis Cluster by slot."""

    # A node that no longer serves a slot says so at once.
    watched_s = float("inf")
    command = ("CLUSTER", "SLOTS")

    def __init__(self, nodes: Iterable[Address]) -> None:
        super().__init__(nodes)
        self._given = tuple(self._nodes)
        self._slots: Mapping[range, Address] = {}

    def address(self, slot: int) -> Address | None:
        return next((node for slots, node in self._slots.items() if slot in slots), None)

    def moved(self, slot: int, to: Address) -> None:
        """Go where a node pointed to, until the nodes are asked."""
        its = range(slot, slot + 1)
        others = {slots: node for slots, node in self._slots.items() if slots != its}
        self._slots = {its: to} | others
        self.mark_stale()

    def _take(self, reply: Any, asked: Address) -> bool:
        found: dict[range, Address] = {}
        known: dict[Address, None] = {}
        for first, last, *nodes in sorted(reply):
            there = [_node(node, asked) for node in nodes]
            known |= dict.fromkeys(there)
            found[range(int(first), int(last) + 1)] = there[0]
        if not found:
            raise ValueError(f"{asked} has no slots")
        is_new, self._slots = found != self._slots, found
        if is_new:
            self._nodes = deque(dict.fromkeys((asked, *known, *self._given)))
        return is_new


def slot_of(tag: str) -> int:
    """Return the slot of what carries a hash tag, given with its braces."""
    return int(key_slot(tag.encode()))


def _node(node: Any, asked: Address) -> Address:
    """Read a node; one without a name is known by its address, or else is where we asked."""
    host, port, *about = node
    if host in _NO_NAME and len(about) > 1:
        host = pairs(about[1]).get(b"ip")
    return Address(asked.host if host in _NO_NAME else _text(host), int(port))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
