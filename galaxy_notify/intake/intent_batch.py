"""Entries of the intent stream on their way: read, accepted, and what is to become of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from galaxy_notify.errors import InvalidIntent, Unavailable
from galaxy_notify.intake.entries import read_entry
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.redis_state.faults import Fault, fault_in
from galaxy_notify.redis_state.intents import Reject
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.redis_state.stream_member import Entry

#: Somebody else's key where a notification is to be: that is of this intent, and not of Redis.
_OF_ONE = "WRONGTYPE"


class Batch:
    """Entries in hand, in the order of the stream."""

    def __init__(self, entries: Sequence[Entry], max_bytes: int) -> None:
        """Read them; what can't be read is refused."""
        self.entries = entries
        self.admitted: list[str] = []
        self.rejects: list[Reject] = []
        self.aside: list[Entry] = []
        self.reason: Fault | None = None
        self.tried = False
        #: producer, status → intents; channel → routes, both of what was accepted
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.routes: Counter[str] = Counter()
        self._left: list[tuple[Entry, Any]] = []
        for entry in entries:
            try:
                self._left.append((entry, read_entry(entry, max_bytes)))
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
    def is_decided(self) -> bool:
        """Tell whether it is known of every intent what becomes of it."""
        return not self._left

    async def accept(self, notifier: AsyncNotifier) -> None:
        """Accept what is left, in order; raise `RedisFault` while Redis can't take it."""
        self.tried = True
        left = self._left
        try:
            self._note(left, await notifier.accept_many([value for _, value in left]))
        except Unavailable as error:
            self._note(left, error.receipts or [None] * len(left))
            fault = _fault(error)
            if fault.code != _OF_ONE:
                raise RedisFault(fault) from error
            self.reason = fault
            self.aside += [entry for entry, _ in self._left]
            self._left = []

    def _note(self, left: Sequence[tuple[Entry, Any]], receipts: Iterable[Receipt | None]) -> None:
        self._left = []
        for (entry, value), receipt in zip(left, receipts, strict=True):
            if receipt is None:
                self._left.append((entry, value))
            elif receipt.status == "refused":
                self._refuse(entry, receipt)
            else:
                self._admit(entry, value, receipt)

    def _admit(self, entry: Entry, value: dict[str, Any], receipt: Receipt) -> None:
        self.admitted.append(entry.stream_id)
        self.statuses[value["producer"], receipt.status] += 1
        if receipt.status == "accepted":
            channels = set(value.get("channels") or ["push"])
            for channel in channels:
                self.routes[channel] += receipt.routes // len(channels)

    def _refuse(self, entry: Entry, receipt: Receipt) -> None:
        error = receipt.error
        assert error is not None
        self.rejects.append(
            Reject(entry.stream_id, error.code, error.field, error.message, entry.deliveries)
        )


def _fault(error: Unavailable) -> Fault:
    cause = error.__cause__
    if isinstance(cause, RedisFault):
        return cause.fault
    return fault_in(str(error).partition(": ")[2] or str(error))
