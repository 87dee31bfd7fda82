"""One recipient of a part of a notification, while rules decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from galaxy_notify.intake.plan import Part, Plan
from galaxy_notify.model.preference import (
    SEVERITIES,
    ChannelDecision,
    DeliveryRequest,
    PreferenceFields,
)
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace

T = TypeVar("T")

_NOTHING: Final = PreferenceFields()
_UNDECIDED: Final = ChannelDecision()


@dataclass(slots=True)
class Recipient:
    """A user, what is asked for, and what rules have found out so far.

    *blocked_by* are the notifications that hold its cooldown, as the script names them.
    """

    part: Part
    user: str
    asked: DeliveryRequest
    stored: PreferenceFields = _NOTHING
    verdict: ChannelDecision = _UNDECIDED
    blocked_by: bytes = b""

    @property
    def kind(self) -> str:
        """Return the type of the notification."""
        return self.part.plan.intent.type

    @property
    def rank(self) -> int:
        """Return how severe it is, 0 for the least."""
        return SEVERITIES.index(self.part.plan.intent.severity)

    @property
    def will_deliver(self) -> bool:
        """Tell whether any channel delivers."""
        return bool(self.verdict.deliveries) and not self.blocked_by


@dataclass(frozen=True, slots=True)
class RecipientBatch:
    """Recipients that one call can be about: of one shard, and alike in what the call needs."""

    keys: Keys
    alike: str
    recipients: Sequence[Recipient] = field(repr=False)


def recipients_of(part: Part) -> Iterator[Recipient]:
    """Return each recipient of a part once, with the channels that are asked for."""
    plan = part.plan
    channels: dict[str, tuple[str, ...]] = {}
    for route in part.requested_routes:
        channel, _, user = route.partition(":")
        channels[user] = (*channels.get(user, ()), channel)
    asked: dict[tuple[str, ...], DeliveryRequest] = {}
    for user, wanted in channels.items():
        if wanted not in asked:
            asked[wanted] = _asked(plan, wanted)
        yield Recipient(part, user, asked[wanted])


def _asked(plan: Plan, channels: tuple[str, ...]) -> DeliveryRequest:
    intent, shared = plan.intent, plan.shared
    return DeliveryRequest(
        channels,
        intent.names_channels,
        intent.severity,
        shared.channels,
        intent.type in shared.mandatory,
        channels,
        shared.quiet_channels,
    )


def batches(
    key_space: KeySpace,
    recipients: Iterable[Recipient],
    alike: Callable[[Recipient], str],
    most: int,
) -> list[RecipientBatch]:
    """Sort recipients by their shard and what must be alike, at most *most* together."""
    found: dict[tuple[int, str], list[Recipient]] = {}
    for one in recipients:
        found.setdefault((key_space.keys_of_user(one.user).shard, alike(one)), []).append(one)
    return [
        RecipientBatch(key_space.keys(shard), kind, some[start : start + most])
        for (shard, kind), some in found.items()
        for start in range(0, len(some), most)
    ]


def query(
    found: Sequence[RecipientBatch],
    call: Callable[[RecipientBatch], ScriptCall],
    read: Callable[[Any, int], Sequence[T]],
) -> Flow[list[tuple[Recipient, T]]]:
    """Run a call for each batch in one round trip; return what it says of each recipient.

    Raises `RedisFault`: rules that cannot be looked at are not passed over.
    """
    if not found:
        return []
    asked = [call(batch) for batch in found]
    replies = yield asked
    answers: list[tuple[Recipient, T]] = []
    for batch, made, reply in zip(found, asked, replies, strict=True):
        with as_fault(made.script.name):
            values = read(unwrap(reply), len(batch.recipients))
        answers += zip(batch.recipients, values, strict=True)
    return answers
