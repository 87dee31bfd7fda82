"""The options of a consumer."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from math import inf
from typing import Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.group import MARKS_MAX

#: The most events that a handler of batches gets at once.
BATCH_MAX: Final = 500
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a consumer reads, retries and remembers events.

    - ``concurrency``: handlers at a time on each shard. With 1 they run in the order of the
      stream; with more, in order for each user. A retried event comes late, out of order.
      `GatewayConsumer.run_batches` handles one batch at a time, and with more than 1 here a
      retried event beside it.
    - ``batch``: entries that `GatewayConsumer.run` asks for in one read.
    - ``batch_max``: events that a handler of `GatewayConsumer.run_batches` gets at once, 500 at
      most. It is called with what there is.
    - ``batch_wait_s``: the next batch begins this long after one that was not full, so that it
      fills; by default at once. A first event after a pause never waits.
    - ``reclaim_idle_s``: entries that another consumer leaves idle for this long are taken over.
    - ``handler_timeout_s``: a handler that takes longer fails; at most, and by default, half of
      ``reclaim_idle_s``, so that no other consumer takes over an event in flight. ``math.inf`` is
      for a handler that bounds all of its own waits, and may run beside another consumer's with
      the same event.
    - ``keeps_claims``: True for a handler that may run for longer than others leave entries alone:
      its entries are claimed again meanwhile, and those claims are no deliveries.
    - ``retry_min_s``, ``retry_max_s``: the pause before a failed event is delivered again
      doubles from one to the other.
    - ``max_deliveries``: an event that fails this many times is parked with the reason.
    - ``marks_ttl_s``, ``marks_max``: how long, and how many on each shard, handled events are
      remembered, so that a repeated one is not handled twice.
    - ``marks``: False for a handler to which it does not matter that an event comes twice, because
      its own store finds that out. Then handled events are not remembered: nothing is looked up
      before a handler, and nothing but the acknowledgement is written after it.
    - ``history_s``: a group that is made begins with the events of the last so many seconds; by
      default with all that the stream has.
    - ``keeps_name``: False for a consumer that has another name each time it starts. At a stop its
      name leaves the group if nothing is pending for it, which needs the right to run ``XGROUP
      DELCONSUMER``; the daemons remove what is left after an hour.
    - ``waiting_max``: with this many entries of a shard waiting for another delivery, no new ones
      are read.
    - ``parked_max``: entries kept in the parked stream of each shard.
    - ``stop_within_s``: how long a stop waits for running handlers.
    """

    concurrency: int = 1
    batch: int = 64
    reclaim_idle_s: float = 60.0
    handler_timeout_s: float | None = None
    retry_min_s: float = 1.0
    retry_max_s: float = 30.0
    max_deliveries: int = 10
    marks_ttl_s: float = 86_400.0
    marks_max: int = MARKS_MAX
    parked_max: int = 10_000
    stop_within_s: float = 10.0
    batch_max: int = BATCH_MAX
    marks: bool = True
    history_s: float | None = None
    keeps_name: bool = True
    batch_wait_s: float | None = None
    keeps_claims: bool = False
    waiting_max: int = 1000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not isinstance(value, bool) and not value > 0:
                raise ConfigurationError(f"{field.name}: {value} is not greater than 0")
        if self.batch_max > BATCH_MAX:
            raise ConfigurationError(f"batch_max: {self.batch_max} is more than {BATCH_MAX}")
        timeout_s = self.handler_timeout_s
        if timeout_s and self.reclaim_idle_s / 2 < timeout_s < inf:
            raise ConfigurationError("handler_timeout_s: more than half of reclaim_idle_s")

    @property
    def reclaim_idle_ms(self) -> int:
        """The idle time in ms after which an entry of another consumer is taken over."""
        return round(self.reclaim_idle_s * 1000)

    @property
    def history_ms(self) -> int | None:
        """How old the first event of a new group may be, in ms; None: any age."""
        return None if self.history_s is None else round(self.history_s * 1000)

    @property
    def in_hand_s(self) -> float:
        """The longest time in s from the read of an entry to the start of its handler."""
        return self.reclaim_idle_s / 2

    @property
    def timeout_s(self) -> float:
        """The time limit of a handler, in s."""
        return self.handler_timeout_s or self.reclaim_idle_s / 2

    @property
    def retry_min_ms(self) -> int:
        """The pause after the first failure, in ms."""
        return max(1, round(self.retry_min_s * 1000))

    @property
    def retry_max_ms(self) -> int:
        """The longest pause, in ms; short enough to retry before another consumer takes over."""
        return max(self.retry_min_ms, min(round(self.retry_max_s * 1000), self.reclaim_idle_ms))


def checked_name(field: str, name: str) -> str:
    """Return the name of a group or consumer; raise `ConfigurationError` if it is invalid."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f'{field}: "{name[:128]}" is not a valid name (1 to 128 of letters, digits, . _ : @ -)'
        )
    return name
