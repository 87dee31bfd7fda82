"""What a write waits for before it is called done: replicas, the disk, or nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy, classify
from galaxy_notify.redis_client.scripts import Command, ScriptCall, tag_in

#: Shorter than the bound of a call, so that the server says how many had it in time.
WAIT_MS: Final = 1000
#: The code of a fault for a write that was done and may still be lost.
UNCONFIRMED: Final = "unconfirmed"
_UNFIT: Final = ("unknown command", "appendonly is disabled")
#: What the disk has with `appendfsync always`, it has before the write is answered.
_AT_ONCE_MS: Final = 1
#: Longer than `appendfsync everysec` takes, and shorter than the bound of a call.
_LATE_MS: Final = 1500
#: In a row: a pause of a second before each of them would have to hide what `everysec` does.
_TRIALS: Final = 3
_NEEDS_ALWAYS: Final = "redis.durability aof needs appendfsync always on the server"
_TOO_LATE: Final = (
    "with everysec, a write reaches the disk up to one second later, longer than a call waits:"
    " CONFIG SET appendfsync always, and the same in its configuration, or redis.durability none"
)


@dataclass(frozen=True, slots=True)
class Confirmation:
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

    def reads(self, *marks: str) -> list[Command]:
        """Return the commands to end a round trip with.

        A server waits for what this connection wrote. Setting a mark makes that all there is,
        so that a repeat which finds its write done on another connection waits for it, too. There
        is a mark for each shard, because the node may have ceased to serve some of them.
        """
        return [*(Command(["SET", mark, "1"]) for mark in marks), Command(list(self.wait))]

    def ending(self, calls: Sequence[ScriptCall | Command]) -> list[Command]:
        """Return what makes the end of a round trip wait; one that only reads does not."""
        tags = _tags(calls)
        return self.reads(*(f"{tag}:confirmed" for tag in tags)) if tags else []

    def confirmed(
        self, calls: Sequence[ScriptCall | Command], replies: list[Any], ending: list[Command]
    ) -> list[Any]:
        """Return the replies before the ending, with a fault for each write it does not confirm.

        What was refused, or did not run because its script is unknown, keeps its own error.
        """
        found, (*marks, waited) = replies[: -len(ending)], replies[-len(ending) :]
        tags = zip(_tags(calls), marks, strict=True)
        faults = {tag: self.fault([mark, waited]) for tag, mark in tags}
        for place, call in enumerate(calls):
            if isinstance(call, ScriptCall) and not isinstance(found[place], Exception):
                fault = faults[tag_in(call.command)]
                found[place] = RedisFault(fault, outcome_unknown=True) if fault else found[place]
        return found

    @property
    def is_of_disk(self) -> bool:
        """Return whether it waits for the disk of the primary."""
        return bool(self.wait[0] == "WAITAOF")

    def trial(self, mark: str) -> Generator[Command, Any, None]:
        """Find out whether the disk has a write in time; to be run on one connection.

        Yields commands, and is sent their replies, errors as well. With `appendfsync always` a
        write is on the disk before it is answered, however slow all is. With `everysec` it is there
        up to a second later, so that one that is waited for is hardly ever confirmed in time:
        `ConfigurationError`. Where it is not there even then, as while the file is rewritten for
        the first time, that may pass: `RedisFault`.
        """
        if not self.is_of_disk:
            return
        write, ask = Command(["SET", mark, "1"]), Command(["WAITAOF", 1, 0, _AT_ONCE_MS])
        for is_repeated in (False, True):
            for _ in range(_TRIALS):
                fault = self.fault([(yield write), (yield ask)])
                if fault:
                    break
            else:
                return
            if fault.remedy is Remedy.CONFIGURE:
                raise ConfigurationError(fault.text)
            if is_repeated:
                raise ConfigurationError(f"{_NEEDS_ALWAYS}: {_TOO_LATE}")
            if fault := self.fault([(yield Command(["WAITAOF", 1, 0, _LATE_MS]))]):
                raise RedisFault(fault)

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
        had = answer[0] if isinstance(answer, list) and answer else answer
        if type(had) is not int:
            return _unconfirmed(f"{self.wait[0]} returned an unreadable reply")
        if had >= self.wanted:
            return None
        reason = f"{had} of {self.wanted} {self.where} had it within {WAIT_MS:,} ms"
        return _unconfirmed(f"{reason}; {_NEEDS_ALWAYS}" if self.is_of_disk else reason)


def _tags(calls: Sequence[ScriptCall | Command]) -> list[str | None]:
    """Return the hash tags under which is written."""
    return list(
        dict.fromkeys(tag_in(call.command) for call in calls if isinstance(call, ScriptCall))
    )


def _unconfirmed(text: str) -> Fault:
    return Fault(UNCONFIRMED, Remedy.RESOLVE, text)
