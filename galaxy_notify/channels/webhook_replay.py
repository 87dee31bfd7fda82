"""Sending an endpoint again what ended since a moment, for one that has lost what it got.

Dead letters are replayed: workers send them. What was delivered or skipped is sent from here, with
the ids that it had, so a receiver that still knows one does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.webhook_endpoint import WebhookEndpoint
from galaxy_notify.channels.webhook_kind import WebhookKind
from galaxy_notify.channels.webhook_trials import WebhookTrials
from galaxy_notify.encoding import payload
from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import event_id, parse_target
from galaxy_notify.model.live_event import live_event
from galaxy_notify.model.route import Status
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import DeadLetterReader
from galaxy_notify.operations.dead_moves import Run
from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.redis_inspect.deliveries import EndedRoute, ended_since, kept_since_ms
from galaxy_notify.redis_inspect.notifications import StoredNotification, read_notification
from galaxy_notify.redis_state.deployment import Deployment

#: After as many failures in a row the rest is left: the endpoint does not work.
MOST_FAILURES: Final = 5
_ENDED: Final = frozenset({Status.DELIVERED, Status.SKIPPED})


@dataclass
class ReplayOutcome:
    """What became of a replay, so far.

    *dead* counts the dead letters. Of what had ended, *sent* reached the endpoint, *failed* counts
    the others by reason, and *gone* is no longer kept. It *stopped* where the endpoint did not
    work any more, from *stopped_at_ms* on. What ended before *kept_since_ms* is not known any more.
    """

    since_ms: int
    dead: MoveOutcome = field(default_factory=MoveOutcome)
    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    stopped_at_ms: int | None = None
    kept_since_ms: int = 0

    @property
    def matched(self) -> int:
        """Return how many were looked for."""
        return self.dead.matched + self.sent + self.failed.total() + self.gone

    @property
    def done(self) -> int:
        """Return how many were sent, or are sent by workers now."""
        return self.dead.moved + self.sent

    @property
    def is_whole(self) -> bool:
        """Return whether nothing that was asked for is left out."""
        is_known = self.kept_since_ms <= self.since_ms and self.stopped_at_ms is None
        return is_known and self.done == self.matched and not self.dead.fault

    def as_json(self) -> dict[str, Any]:
        """Return what the command line shows."""
        return {
            "since_ms": self.since_ms,
            "dead_letters": self.dead.as_json(),
            "sent": self.sent,
            "failed": self.failed.total(),
            "reasons": dict(self.failed),
            "gone": self.gone,
            "stopped_at_ms": self.stopped_at_ms,
            "kept_since_ms": max(self.since_ms, self.kept_since_ms),
        }


class EndpointReplay:
    """Sends an endpoint again what ended since a moment; `outcome` counts.

    What its worker has still to send is left alone, and so are types that it does not want.
    """

    def __init__(self, deployment: Deployment, endpoint: WebhookEndpoint, since_ms: int) -> None:
        self._deployment = deployment
        self._endpoint = endpoint
        self._channel = endpoint.contact.channel
        self.outcome = ReplayOutcome(since_ms)

    async def run(
        self, trials: WebhookTrials, run: Run, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Send what was delivered or skipped, the oldest first, then replay dead letters.

        These go to each endpoint of the user that does not have them. *progress* gets how many were
        sent. After `MOST_FAILURES` in a row the rest is left. Raises `RedisFault`, and `CallFailed`
        where no dead letter could be read.
        """
        await self._send_ended(trials, progress)
        # Last: what workers send of these must not be among what is sent from here.
        if self.outcome.stopped_at_ms is None:
            self.outcome.dead = self._replay_dead(run)

    async def _send_ended(self, trials: WebhookTrials, progress: Callable[[int], None]) -> None:
        outcome = self.outcome
        failed: list[EndedRoute] = []
        outcome.kept_since_ms = kept_since_ms(self._deployment)
        found = self._ended()
        async with trials.kind(self._channel, self._deployment.key_space) as kind:
            for one in found:
                failed = [*failed, one] if await self._send(kind, trials, one) else []
                if len(failed) == MOST_FAILURES:
                    outcome.stopped_at_ms = failed[0].at_ms
                    return
                progress(outcome.sent)

    def _replay_dead(self, run: Run) -> MoveOutcome:
        """Replay dead letters of the endpoint's user and channel."""
        letters = DeadLetterReader(self._deployment)
        wanted = DeadFilter((self._channel,), since_ms=self.outcome.since_ms)
        found = letters.matching(letters.as_of_now(wanted))
        own = (one.id for one in found if one.recipient == self._endpoint.user)
        return letters.replay(own, run)

    def _ended(self) -> Sequence[EndedRoute]:
        """Return what was delivered or skipped, each notification once, by its last end."""
        found: dict[str, EndedRoute] = {}
        since_ms = self.outcome.since_ms
        for one in ended_since(self._deployment, self._endpoint.user, self._channel, since_ms):
            found.pop(one.notification_id, None)
            found[one.notification_id] = one
        return [one for one in found.values() if one.outcome in _ENDED]

    async def _send(self, kind: WebhookKind, trials: WebhookTrials, one: EndedRoute) -> str:
        """Send one, and count it; return why the endpoint did not take it."""
        outcome = self.outcome
        try:
            stored = self._stored(one)
            delivery = self._delivery(stored) if stored else None
        except Corrupt as error:
            outcome.failed[str(error)] += 1
            return ""
        if delivery is None:
            outcome.gone += stored is None
            return ""
        if not kind.targets([self._endpoint.contact], delivery.event):
            return ""
        attempt = await trials.send(kind, delivery)
        if attempt.outcome == "delivered":
            outcome.sent += 1
            return ""
        reason = attempt.detail or attempt.reason
        outcome.failed[reason] += 1
        return reason

    def _stored(self, one: EndedRoute) -> StoredNotification | None:
        """Return the notification with the endpoint's route; None if it is no longer kept."""
        route_id = f"{self._channel}:{self._endpoint.user}"
        target = parse_target(f"{one.notification_id}/{route_id}")
        stored = read_notification(self._deployment, target) if target else None
        return stored if stored and stored.record and stored.routes else None

    def _delivery(self, stored: StoredNotification) -> Delivery | None:
        """Return what was sent, or would have been; None where a worker has yet to send it.

        Raises `Corrupt` where it cannot be read.
        """
        record, (found, *_) = stored.record, stored.routes
        assert record is not None
        if found.route is None:
            raise Corrupt("its state cannot be read")
        if found.route.status not in _ENDED:
            return None
        name = event_id(found.member, found.route.generation)
        return Delivery(
            self._channel,
            self._endpoint.user,
            live_event(name, payload(record)),
            self._endpoint.contact,
            record.producer,
            expires_at_ms=record.expires_at_ms,
            request_id=record.request_id,
            trace_id=record.trace_id,
            traceparent=record.traceparent,
        )
