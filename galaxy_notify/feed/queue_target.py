"""Publications as what a background notifier sends: into the feed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from galaxy_notify.background.packed_intent import (
    Kind,
    given_fields,
    id_of,
    pack_fields,
    unpack,
)
from galaxy_notify.errors import (
    AlreadyClosed,
    CallFailed,
    GalaxyNotifyError,
    Invalid,
    InvalidPublication,
)
from galaxy_notify.feed.prepared import Prepared
from galaxy_notify.feed.publisher import Outcomes
from galaxy_notify.feed.receipts import FeedReceipt, refused
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.model.publication import Publication
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog


class FeedTarget:
    """Publishes in a feed what waits in a queue: a `Target` of the background notifier."""

    kind: Kind = "publication"

    def __init__(
        self, publish: Callable[[Sequence[Prepared | FeedReceipt]], Outcomes], most_bytes: int
    ) -> None:
        """Prepare; *publish* is that of a `Feed`, which its owner closes."""
        self._publish = publish
        self._most_bytes = most_bytes

    def pack(self, item: object) -> bytes:
        """Return a publication as it is now, packed; raise `InvalidPublication`."""
        publication = Publication.parse(item)
        at_ms = time.time_ns() // 1_000_000
        # What is too large is refused here, where the mistake is.
        name = publication.id_at(at_ms)
        publication.item(name, at_ms, self._most_bytes)
        try:
            return pack_fields(name, at_ms, given_fields(publication))
        except ValueError as error:
            raise InvalidPublication("data", str(error)) from error

    def fields(self, packed: bytes) -> Mapping[str, Any]:
        """Return the fields of a packed publication; raise `InvalidIntent`."""
        return unpack(packed).fields

    def send(self, packed: Sequence[bytes]) -> list[Receipt | Unknown]:
        """Return what became of each publication, in order; safe to repeat."""
        try:
            outcomes = self._publish([self._prepared(one) for one in packed])
        except (CallFailed, AlreadyClosed) as error:
            return [_unknown(error)] * len(packed)
        return [
            _unknown(outcomes.failure) if one is None else _receipt(one)
            for one in outcomes.receipts
        ]

    def recover(self) -> None:
        """Do nothing: each attempt connects where it has to."""

    def outages(self) -> EdgeLog:
        """Return what logs that Postgres is away."""
        return EdgeLog(get_logger("background"), "postgres unavailable", "postgres available again")

    def close(self) -> None:
        """Leave the feed to its owner."""

    def _prepared(self, packed: bytes) -> Prepared | FeedReceipt:
        """Return what is written of a packed publication, as of the time of its submission."""
        try:
            name, at_ms, _, fields = unpack(packed)
            publication = Publication.parse(fields)
            item = publication.item(name, at_ms, self._most_bytes)
        except Invalid as error:
            return refused(error, id_of(packed))
        # Without a key of its own, only an earlier attempt can have written it.
        return Prepared(item, not publication.may_repeat)


def _unknown(error: GalaxyNotifyError | None) -> Unknown:
    code = error.code if isinstance(error, CallFailed) else "closed"
    return Unknown(f"{code}: {error}")


def _receipt(receipt: FeedReceipt) -> Receipt:
    status = "accepted" if receipt.status == "published" else receipt.status
    return Receipt(receipt.notification_id, status, error=receipt.error)
