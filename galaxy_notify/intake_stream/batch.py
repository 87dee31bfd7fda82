"""Entries of the intent stream on their way: read, accepted, and what is to become of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.intake_stream.entries import read_entry
from galaxy_notify.redis_client.faults import Fault, RedisFault, fault_in
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.intents import Reject

#: Somebody else's key where a notification is to be: that is of this intent, and not of Redis.
_OF_ONE: Final = "WRONGTYPE"
#: Where an intent names no channel its recipients choose.
_ANY: Final = "any"
#: Parsed in a few milliseconds.
_LIGHT_BYTES: Final = 1 << 16


class Given(NamedTuple):
    """An entry that can be read, and the intent in it."""

    entry: Entry
    value: Any


class EntryBatch:
    """Entries in hand, in the order of the stream."""

    def __init__(self, entries: Sequence[Entry], max_bytes: int) -> None:
        """Read them; what can't be read is refused."""
        self.entries = entries
        self.rejects: list[Reject] = []
        self.aside: list[Entry] = []
        self.reason: Fault | None = None
        self.tried = False
        self._taken: dict[str, tuple[Given, Receipt]] = {}
        self._left: list[Given] = []
        for entry in entries:
            try:
                self._left.append(Given(entry, read_entry(entry, max_bytes)))
            except InvalidIntent as error:
                self._refuse(entry, refused(error))

    @property
    def stream_ids(self) -> list[str]:
        """Return the ids of all entries."""
        return [entry.stream_id for entry in self.entries]

    @property
    def size(self) -> int:
        """Return how many bytes were read."""
        return sum(len(value) for entry in self.entries for value in entry.fields.values())

    @property
    def admitted(self) -> list[str]:
        """Return the ids of the entries whose intents were accepted."""
        return list(self._taken)

    def statuses(self) -> Counter[tuple[str, str]]:
        """Count what was accepted by producer and status, as it was first answered."""
        taken = self._taken.values()
        return Counter((given.value["producer"], receipt.status) for given, receipt in taken)

    def routes(self) -> Counter[str]:
        """Count the routes of what was accepted, by channel as far as the intent says so."""
        counted: Counter[str] = Counter()
        for given, receipt in self._taken.values():
            if receipt.status == "accepted":
                channels = set(given.value.get("channels") or [_ANY])
                for channel in channels:
                    counted[channel] += receipt.routes // len(channels)
        return counted

    async def accept(self, notifier: AsyncNotifier) -> None:
        """Accept what is left, in order; raise `RedisFault` while Redis can't take it."""
        self.tried = True
        left = self._left
        if not left:
            return
        try:
            self._note(left, await notifier.accept_many([given.value for given in left]))
        except CallFailed as error:
            self._note(left, error.receipts or [None] * len(left))
            fault = _fault(error)
            if fault.code != _OF_ONE:
                raise RedisFault(fault) from error
            self.reason = fault
            self.aside += [given.entry for given in self._left]
            self._left = []

    def doubt(self) -> None:
        """Have all accepted once more: a server that came back may have forgotten some."""
        self._left = [given for given, _ in self._taken.values()]

    def _note(self, left: Sequence[Given], receipts: Iterable[Receipt | None]) -> None:
        self._left = []
        for given, receipt in zip(left, receipts, strict=True):
            stream_id = given.entry.stream_id
            if receipt is None:
                self._left.append(given)
            elif receipt.status != "refused":
                self._taken.setdefault(stream_id, (given, receipt))
            elif stream_id not in self._taken:
                self._refuse(given.entry, receipt)

    def _refuse(self, entry: Entry, receipt: Receipt) -> None:
        error = receipt.error
        assert error is not None
        self.rejects.append(
            Reject(entry.stream_id, error.code, error.field, error.message, entry.deliveries)
        )


async def read_batch(entries: Sequence[Entry], max_bytes: int) -> EntryBatch:
    """Read entries: many bytes in a thread, so that what else the loop serves goes on."""
    size = sum(len(value) for entry in entries for value in entry.fields.values())
    if size <= _LIGHT_BYTES:
        return EntryBatch(entries, max_bytes)
    return await asyncio.to_thread(EntryBatch, entries, max_bytes)


def _fault(error: CallFailed) -> Fault:
    cause = error.__cause__
    if isinstance(cause, RedisFault):
        return cause.fault
    return fault_in(f"{error.code}: {error}")
