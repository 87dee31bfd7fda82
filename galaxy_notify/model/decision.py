"""What rules decide about one recipient: which channels deliver, when, and why others do not."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from galaxy_notify.model.quiet import Quiet, quiet_until


class Reason(StrEnum):
    """Why a route was skipped."""

    SILENCED = "silenced"
    NO_CHANNELS = "no_channels"
    CHANNEL_NOT_WANTED = "channel_not_wanted"
    BELOW_MINIMUM = "below_minimum"
    QUIET_HOURS = "quiet_hours"
    EXPIRES_FIRST = "expires_first"


class Delivery(NamedTuple):
    """A channel that delivers, *delay_ms* after the notification is due.

    *deferred_to_ms* (epoch ms) is when it does so instead, because of quiet hours; or None.
    """

    channel: str
    deferred_to_ms: int | None = None
    delay_ms: int = 0

    def due_at_ms(self, asked_ms: int | None, now_ms: int) -> int | None:
        """Return the due time for the state of the route, as `initial_state` takes it.

        *asked_ms* is the due time of the intent; what is not in the future there is counted from
        the accept, by the server's clock.
        """
        if self.deferred_to_ms is not None:
            return self.deferred_to_ms
        if not self.delay_ms:
            return asked_ms
        return self.delay_ms + (asked_ms if asked_ms is not None and asked_ms > now_ms else 0)

    def expected_ms(self, asked_ms: int | None, now_ms: int) -> int:
        """Return when it is due (epoch ms), for an accept at *now_ms*."""
        return self.deferred_to_ms or max(asked_ms or 0, now_ms) + self.delay_ms


class Skip(NamedTuple):
    """A channel that does not deliver, with the reason."""

    channel: str
    reason: Reason


class ChannelDecision(NamedTuple):
    """The channels that deliver to one recipient, and those that do not."""

    deliveries: tuple[Delivery, ...] = ()
    skips: tuple[Skip, ...] = ()


class Timing(NamedTuple):
    """What decides when the deliveries to one recipient are due. Times are epoch ms.

    The quiet hours defer deliveries by the channels in *deferring*; *delays* are pairs of a channel
    and how much later than the notification it delivers.
    """

    due_ms: int
    expires_at_ms: int | None
    quiet: Quiet | None
    deferring: tuple[str, ...]
    delays: tuple[tuple[str, int], ...]

    @property
    def changes_nothing(self) -> bool:
        """Whether every channel delivers when the notification is due."""
        if self.delays:
            return False
        return self.quiet is None or quiet_until(self.quiet, self.due_ms) is None

    def applied(self, decision: ChannelDecision) -> ChannelDecision:
        """Return the decision with the time of each delivery; those that expire before are skips.

        A delay begins when the quiet hours around the due time end; where it ends in quiet hours,
        they defer the delivery once more.
        """
        deliveries: list[Delivery] = []
        skips = list(decision.skips)
        for delivery in decision.deliveries:
            timed = self._timed(delivery.channel)
            if isinstance(timed, Skip):
                skips.append(timed)
            else:
                deliveries.append(timed)
        return ChannelDecision(tuple(deliveries), tuple(skips))

    def after_quiet(self, channel: str, at_ms: int) -> int:
        """Return the end of the quiet hours around a moment; outside of them, the moment."""
        if self.quiet is None or channel not in self.deferring:
            return at_ms
        return quiet_until(self.quiet, at_ms) or at_ms

    def _timed(self, channel: str) -> Delivery | Skip:
        delay_ms = delay_of(self.delays, channel)
        begin_ms = self.after_quiet(channel, self.due_ms)
        end_ms = begin_ms + delay_ms
        at_ms = self.after_quiet(channel, end_ms)
        if at_ms == self.due_ms:
            return Delivery(channel)
        expires = self.expires_at_ms
        if expires is not None and at_ms >= expires:
            is_delay = begin_ms < expires <= end_ms
            return Skip(channel, Reason.EXPIRES_FIRST if is_delay else Reason.QUIET_HOURS)
        deferred = None if at_ms == self.due_ms + delay_ms else at_ms
        return Delivery(channel, deferred, delay_ms)


def delay_of(delays: tuple[tuple[str, int], ...], channel: str) -> int:
    """Return the delay of a channel in ms; 0 for none."""
    return next((ms for name, ms in delays if name == channel), 0)
