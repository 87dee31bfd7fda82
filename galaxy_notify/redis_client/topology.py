"""Where the primary is, as sentinels or the nodes of a cluster tell: plain steps, without I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from time import monotonic
from typing import Any, ClassVar, Final, NamedTuple

from redis.crc import key_slot

from galaxy_notify.redis_client.faults import Remedy, classify

#: Shortest time between two searches while the known primary is in doubt, in seconds.
_DOUBTED_S: Final = 0.5
#: A search is followed by a rest of this many times its duration, so that nodes which do not answer
#: cost callers a tenth of their time at most; in doubt it is worth as much time as it takes.
_REST: Final = 10
_REST_IN_DOUBT: Final = 1
# In place of a host: the node is to be reached by its host name, and has none.
_NO_NAME: Final = (None, b"", b"?")
# After a failover some nodes still name the old primary. So while an answer is in doubt, the same
# one is believed again only when this many nodes have been heard and none named another.
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

    An answer holds until it is doubted, or for `watched_s`. While nobody answers, the last one
    goes on to hold: a primary may work although all who could name it are away.
    """

    command: tuple[str, ...]
    #: After how many seconds it is asked again although nothing went wrong.
    watched_s: ClassVar[float]

    def __init__(self, nodes: Iterable[Address]) -> None:
        self._nodes = deque(nodes)
        self._asked_at = float("-inf")
        self._doubted = True
        self._took_s = 0.0
        self._complaint = "nobody was asked yet"
        #: Why one of those asked last does not let us ask: waiting does not help. Empty otherwise.
        self.refusal = ""

    @abstractmethod
    def address(self, slot: int) -> Address | None:
        """Return who serves a slot, as far as is known."""

    @abstractmethod
    def _take(self, reply: Any, asked: Address) -> bool:
        """Take an answer over; tell whether it says anything new. Raises `ValueError`."""

    def moved(self, slot: int, to: Address) -> None:
        """Take over what a node said of a slot that it does not serve, and ask again soon."""
        del slot, to
        self.doubt()

    @property
    def complaint(self) -> str:
        """Return why there is no answer."""
        return self._complaint

    @property
    def nodes(self) -> list[Address]:
        """Return who can be asked, the most likely to answer first."""
        return list(self._nodes)

    def doubt(self) -> None:
        """Ask again soon: who was named can't be reached, or says that it is not the primary."""
        self._doubted = True

    def is_due(self) -> bool:
        """Tell whether it is time to ask."""
        if self._doubted:
            holds_s = max(_DOUBTED_S, _REST_IN_DOUBT * self._took_s)
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
        doubted, opinions = self._doubted, 0
        for node in list(self._nodes):
            is_new = self._heard((yield node), node)
            if is_new is not None:
                self._doubted = False
                opinions += 1
                if is_new or not doubted or opinions == _OPINIONS:
                    return
            self._pass_over(node)

    def _heard(self, reply: Any, node: Address) -> bool | None:
        """Take a reply over and tell whether it is news; None where it says nothing."""
        if isinstance(reply, Exception):
            self._complaint = f"{node} does not answer: {_line(reply)}"
            if classify(reply).remedy is Remedy.CONFIGURE:
                self.refusal = self._complaint
            return None
        try:
            return self._take(reply, node)
        except (ValueError, TypeError, IndexError) as error:
            self._complaint = _line(error)
            return None

    def _pass_over(self, node: Address) -> None:
        """Ask this one last from now on."""
        if node in self._nodes:
            self._nodes.remove(node)
            self._nodes.append(node)


# redis-py's Sentinel looks only when it connects, each caller by itself, and never goes by what it
# knew: docs/decisions/0007-own-sentinel-lookup.md
class SentinelTopology(Topology):
    """The primary of a set that sentinels watch."""

    # A forced failover leaves the old primary writing for seconds; who watches loses less.
    watched_s = 1.0

    def __init__(self, sentinels: Iterable[Address], name: str) -> None:
        super().__init__(sentinels)
        self.command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        #: What a sentinel is asked for all that it knows.
        self.details = ("SENTINEL", "MASTER", name)
        self._name = name
        self._primary: Address | None = None

    def address(self, slot: int) -> Address | None:
        """Return the primary, whatever the slot."""
        del slot
        return self._primary

    def _take(self, reply: Any, asked: Address) -> bool:
        if reply is None:
            raise ValueError(f"sentinel {asked} knows no primary named {self._name}")
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

    @property
    def primaries(self) -> list[Address]:
        """Return every primary that serves slots, in the order of their slots."""
        return list(dict.fromkeys(self._slots.values()))

    def address(self, slot: int) -> Address | None:
        """Return the primary that serves a slot."""
        return next((node for slots, node in self._slots.items() if slot in slots), None)

    def moved(self, slot: int, to: Address) -> None:
        """Go where a node pointed to, until the nodes are asked."""
        its = range(slot, slot + 1)
        others = {slots: node for slots, node in self._slots.items() if slots != its}
        self._slots = {its: to} | others
        self.doubt()

    def _take(self, reply: Any, asked: Address) -> bool:
        found: dict[range, Address] = {}
        known: dict[Address, None] = {}
        for first, last, *nodes in sorted(reply):
            there = [_node(node, asked) for node in nodes]
            known |= dict.fromkeys(there)
            found[range(int(first), int(last) + 1)] = there[0]
        if not found:
            raise ValueError(f"{asked} knows of no slots")
        is_new, self._slots = found != self._slots, found
        if is_new:
            self._nodes = deque(dict.fromkeys((asked, *known, *self._given)))
        return is_new


def slot_of(tag: str) -> int:
    """Return the slot of what carries a hash tag, given with its braces."""
    return int(key_slot(tag.encode()))


def _node(told: Any, asked: Address) -> Address:
    """Read a node; one without a name is known by its address, or else is where we asked."""
    host, port, *about = told
    if host in _NO_NAME and len(about) > 1:
        more = about[1]
        pairs = more.items() if isinstance(more, dict) else zip(more[::2], more[1::2], strict=True)
        host = dict(pairs).get(b"ip")
    return Address(asked.host if host in _NO_NAME else _text(host), int(port))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
