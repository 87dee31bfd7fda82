"""The kind ``log``: one line in the log for each notification, to try things out."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.kind import Target
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.telemetry.logs import get_logger


class LogKind:
    """Logs which notification is for whom, and none of its contents."""

    has_contacts = False

    def __init__(self) -> None:
        self._log = get_logger("log channel")

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return the one target that a channel without contacts has."""
        del contacts, event
        return (Target(),)

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Log a line. It is written if ``log.level`` includes info."""
        del target, deadline
        self._log.info(
            "notification logged",
            channel=delivery.channel,
            user=delivery.user_id,
            event_id=delivery.event_id,
            type=delivery.type,
            severity=delivery.severity,
            producer=delivery.producer,
            attempt=delivery.attempt,
        )
        return Attempt("delivered")

    async def close(self) -> None:
        """Do nothing: a line that was logged is written by the log itself."""
