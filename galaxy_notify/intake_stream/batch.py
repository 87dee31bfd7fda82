"""A batch of entries of the intent stream: parsed, accepted, and the outcome of each.

An entry has one field with one intent.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_text import USUAL, parse_json
from galaxy_notify.redis_client.faults import Fault, RedisFault, fault_in
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.intents import INTENT, REPLAYED, Reject

_STREAM_ID: Final = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


def read_entry(entry: Entry, max_bytes: int) -> Any:
    """Return the JSON value of the intent in an entry; raise `InvalidIntent`.

    Without an idempotency key the id of the entry becomes the key, so that another delivery is the
    same notification.
    """
    raw = _intent_of(entry)
    if len(raw) > max_bytes:
        message = f"{len(raw):,} bytes, the limit is {max_bytes:,} (intake.max_bytes)"
        raise InvalidIntent("intent", message, "too_large")
    value = parse_json(raw, "the intent", USUAL)
    if isinstance(value, dict) and value.get("idempotency_key") is None:
        value["idempotency_key"] = entry.fields.get(REPLAYED, entry.stream_id.encode()).decode()
    return value


def _intent_of(entry: Entry) -> bytes:
    for name, value in entry.fields.items():
        is_replayed = name == REPLAYED and _STREAM_ID.fullmatch(value)
        if name != INTENT and not is_replayed:
            shown = printable(name.decode("utf-8", "replace"))
            raise InvalidIntent(shown, "unknown field: the only field of an entry is intent")
    if INTENT not in entry.fields:
        raise InvalidIntent(
            "intent", "missing: an entry must have this field, with the intent as JSON"
        )
    return entry.fields[INTENT]


#: A foreign key in place of the notification: a fault of this one intent, not of Redis.
_FOREIGN_KEY: Final = "WRONGTYPE"
#: The channel label in metrics of an intent without channels, whose recipients choose them.
_ANY_CHANNEL: Final = "any"
#: This many bytes are parsed in a few milliseconds.
_LIGHT_BYTES: Final = 1 << 16


class ParsedEntry(NamedTuple):
    """An entry that could be parsed, with the intent in it."""

    entry: Entry
    value: Any


class EntryBatch:
    """The entries of one read, in the order of the stream."""

    def __init__(self, entries: Sequence[Entry], max_bytes: int) -> None:
        """Parse the entries; invalid ones become rejects."""
        self.entries = entries
        self.rejects: list[Reject] = []
        self.postponed: list[Entry] = []
        self.postponed_by: Fault | None = None
        self.was_sent = False
        self._accepted: dict[str, tuple[ParsedEntry, Receipt]] = {}
        self._remaining: list[ParsedEntry] = []
        for entry in entries:
            try:
                self._remaining.append(ParsedEntry(entry, read_entry(entry, max_bytes)))
            except InvalidIntent as error:
                self._refuse(entry, refused(error))

    @property
    def stream_ids(self) -> list[str]:
        return [entry.stream_id for entry in self.entries]

    @property
    def size(self) -> int:
        return sum(len(value) for entry in self.entries for value in entry.fields.values())

    @property
    def admitted(self) -> list[str]:
        """The ids of the entries whose intents were accepted."""
        return list(self._accepted)

    def statuses(self) -> Counter[tuple[str, str]]:
        """Return the number of accepted intents by producer and status of the first answer."""
        accepted = self._accepted.values()
        return Counter((parsed.value["producer"], receipt.status) for parsed, receipt in accepted)

    def routes(self) -> Counter[str]:
        """Return the number of accepted routes by channel, or by ``any`` without channels."""
        counts: Counter[str] = Counter()
        for parsed, receipt in self._accepted.values():
            if receipt.status == "accepted":
                channels = set(parsed.value.get("channels") or [_ANY_CHANNEL])
                for channel in channels:
                    counts[channel] += receipt.routes // len(channels)
        return counts

    async def accept(self, notifier: AsyncNotifier) -> None:
        """Accept the remaining intents, in order; raise `RedisFault` if Redis cannot store them."""
        self.was_sent = True
        remaining = self._remaining
        if not remaining:
            return
        try:
            self._record(
                remaining, await notifier.accept_many([parsed.value for parsed in remaining])
            )
        except CallFailed as error:
            self._record(remaining, error.receipts or [None] * len(remaining))
            fault = _fault(error)
            if fault.code != _FOREIGN_KEY:
                raise RedisFault(fault) from error
            self.postponed_by = fault
            self.postponed += [parsed.entry for parsed in self._remaining]
            self._remaining = []

    def accept_again(self) -> None:
        """Accept all again: a server that restarted may have lost some."""
        self._remaining = [parsed for parsed, _ in self._accepted.values()]

    def _record(self, remaining: Sequence[ParsedEntry], receipts: Iterable[Receipt | None]) -> None:
        self._remaining = []
        for parsed, receipt in zip(remaining, receipts, strict=True):
            stream_id = parsed.entry.stream_id
            if receipt is None:
                self._remaining.append(parsed)
            elif receipt.status != "refused":
                self._accepted.setdefault(stream_id, (parsed, receipt))
            elif stream_id not in self._accepted:
                self._refuse(parsed.entry, receipt)

    def _refuse(self, entry: Entry, receipt: Receipt) -> None:
        error = receipt.error
        assert error is not None
        self.rejects.append(
            Reject(entry.stream_id, error.code, error.field, error.message, entry.deliveries)
        )


async def read_batch(entries: Sequence[Entry], max_bytes: int) -> EntryBatch:
    """Return the parsed entries; many bytes are parsed in a thread, not on the event loop."""
    size = sum(len(value) for entry in entries for value in entry.fields.values())
    if size <= _LIGHT_BYTES:
        return EntryBatch(entries, max_bytes)
    return await asyncio.to_thread(EntryBatch, entries, max_bytes)


def _fault(error: CallFailed) -> Fault:
    cause = error.__cause__
    if isinstance(cause, RedisFault):
        return cause.fault
    return fault_in(f"{error.code}: {error}")
