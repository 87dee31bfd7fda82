"""Direct publish: into Postgres, then announced as an event of `in_app`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import CallFailed, FeedRefused
from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.feed.calls import tried
from galaxy_notify.feed.insertion import Insertion, Key, insert_all, key_of
from galaxy_notify.feed.prepared import Prepared
from galaxy_notify.feed.receipts import FeedReceipt, refused
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.intake.source import IntentSource
from galaxy_notify.live.parts import PartLimits, cut
from galaxy_notify.live.placing import incoming

#: Of publications in order, as far as they are known; ``Feed.list`` hides the name of the type.
OpenReceipts = list[FeedReceipt | None]
Receipts = list[FeedReceipt]

#: What one transaction writes.
_PART: Final = PartLimits(500, 4 << 20)


class Outcomes(NamedTuple):
    """What became of publications, in order.

    A receipt is None where the outcome is unknown, because of the *failure*; those from *unsent* on
    were certainly not written.
    """

    receipts: Sequence[FeedReceipt | None]
    failure: CallFailed | None = None
    unsent: int = 0


class Publisher:
    """Publishes in one feed store."""

    def __init__(self, store: FeedStore, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer

    async def publish(self, wanted: Sequence[Prepared | FeedReceipt]) -> Outcomes:
        """Publish what is prepared, in order; what is refused already keeps its receipt.

        Never raises an outage: it is the *failure* of the answer.
        """
        receipts: list[FeedReceipt | None] = []
        for part in cut(wanted, _PART, _size):
            items = [one for one in part if isinstance(one, Prepared)]
            try:
                done = await self._written(items) if items else Insertion()
            except CallFailed as error:
                receipts += [one if isinstance(one, FeedReceipt) else None for one in part]
                unsent = len(receipts)
                rest = wanted[unsent:]
                receipts += [one if isinstance(one, FeedReceipt) else None for one in rest]
                return Outcomes(receipts, error, unsent)
            receipts += _receipts(part, done)
        return Outcomes(receipts)

    async def _written(self, items: Sequence[Prepared]) -> Insertion:
        attempts = 0

        async def insert() -> Insertion:
            nonlocal attempts
            attempts += 1
            return await insert_all(self._store, [one.item for one in items])

        done = await tried(insert)
        # An attempt whose reply was lost may have written what this one found there. Where another
        # publish may have the same id, that is not known: it is announced, and a list has it once.
        mine = {key_of(one.item) for one in items if one.is_first} - done.refused.keys()
        done = done._replace(new=done.new | mine)
        maybe = {key_of(one.item) for one in items} - done.refused.keys() if attempts > 1 else set()
        at_ms = time.time_ns() // 1_000_000
        fresh = [one for one in items if key_of(one.item) in done.new | maybe]
        events = [incoming(one.item.user_id, one.live_event, at_ms) for one in fresh]
        await self._announcer.announce(News(done.counts, events))
        return done


def _receipts(part: Sequence[Prepared | FeedReceipt], done: Insertion) -> list[FeedReceipt]:
    """Return the receipts of a part; of the same notification twice the second is a duplicate."""
    new = set(done.new)
    return [one if isinstance(one, FeedReceipt) else _receipt(one, done, new) for one in part]


def _receipt(one: Prepared, done: Insertion, new: set[Key]) -> FeedReceipt:
    key = key_of(one.item)
    if key in done.refused:
        return refused(done.refused[key], one.item.notification_id)
    if key not in new:
        return FeedReceipt(one.item.notification_id, "duplicate")
    new.discard(key)
    return FeedReceipt(one.item.notification_id, "published")


def _size(one: Prepared | FeedReceipt) -> int:
    if isinstance(one, FeedReceipt):
        return 0
    return len(one.item.payload) + len(one.item.title) + len(one.item.body)


def only_receipt(published: Outcomes, wanted: Prepared) -> FeedReceipt:
    """Return the receipt of a single publication; raise what stopped or refused it."""
    (receipt,) = published.receipts
    if receipt is None:
        assert published.failure is not None
        failure, name = published.failure, wanted.item.notification_id
        raise type(failure)(str(failure), name, code=failure.code) from failure
    if receipt.error is not None:
        refusal = receipt.error
        raise FeedRefused(refusal.field, refusal.message, refusal.code)
    return receipt


def interruption(
    before: Sequence[FeedReceipt | None], published: Outcomes, source: IntentSource[Any]
) -> CallFailed:
    """Return the error that carries all receipts so far, and None for what has none."""
    assert published.failure is not None
    receipts = [*before, *published.receipts]
    unsent = len(before) + published.unsent
    receipts += [None] * source.skip_rest()
    not_written = [at for at in range(unsent, len(receipts)) if receipts[at] is None]
    failure, text = published.failure, source.failure_text
    message = f"{failure}; {text}" if text else str(failure)
    error = type(failure)(message, receipts=receipts, code=failure.code, not_written=not_written)
    error.__cause__ = failure
    return error
