"""What a write waits for before it is called done: replicas, the disk, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from galaxy_notify.redis_state.faults import GARBLED, Fault, Remedy, classify
from galaxy_notify.redis_state.scripts import Read

#: Shorter than the bound of a call, so that the server says how many had it in time.
WAIT_MS: Final = 1000
#: The code of a fault that says: it was done, and may be lost yet.
UNCONFIRMED: Final = "unconfirmed"
_UNFIT: Final = ("unknown command", "appendonly is disabled")


@dataclass(frozen=True, slots=True)
class Confirm:
    """Makes the end of a round trip wait until what it wrote is safe."""

    wait: tuple[Any, ...]
    wanted: int
    where: str

    @classmethod
    def of(cls, durability: str) -> Self | None:
        """Return what ``redis.durability`` asks for."""
        kind, _, number = durability.partition(":")
        if kind == "replicas":
            return cls(("WAIT", int(number), WAIT_MS), int(number), "replicas")
        if kind == "aof":
            return cls(("WAITAOF", 1, 0, WAIT_MS), 1, "append-only files")
        return None

    def reads(self, *marks: str) -> list[Read]:
        """Return the commands to end a round trip with.

        A server waits for what this connection wrote. Setting a mark makes that all there is,
        so that a repeat which finds its write done on another connection waits for it, too. There
        is a mark for each shard, because the node may have ceased to serve some of them.
        """
        return [*(Read(["SET", mark, "1"]) for mark in marks), Read(list(self.wait))]

    def fault(self, replies: Sequence[Any]) -> Fault | None:
        """Return why what was written may be lost, from the replies to `reads`."""
        for reply in replies:
            if isinstance(reply, Exception):
                fault: Fault = getattr(reply, "fault", None) or classify(reply)
                unfit = any(words in fault.text for words in _UNFIT)
                if unfit or fault.remedy is Remedy.CONFIGURE:
                    return Fault(fault.code, Remedy.CONFIGURE, f"redis.durability: {fault.text}")
                return _unconfirmed(fault.text)
        answer = replies[-1]
        try:
            had = int(answer[0] if isinstance(answer, list) else answer)
        except GARBLED:
            return _unconfirmed(f"{self.wait[0]} answered what cannot be read")
        if had >= self.wanted:
            return None
        return _unconfirmed(f"{had} of {self.wanted} {self.where} had it within {WAIT_MS:,} ms")


def _unconfirmed(text: str) -> Fault:
    return Fault(UNCONFIRMED, Remedy.RESOLVE, text)
