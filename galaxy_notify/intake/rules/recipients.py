"""The recipients of a part of a notification, while rules decide about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from galaxy_notify.intake.plan import Part, Plan
from galaxy_notify.model.decision import ChannelDecision, Timing
from galaxy_notify.model.preference import (
    SEVERITIES,
    DeliveryRequest,
    PreferenceFields,
    timing_of,
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
    """A user, the requested delivery, and what the rules have decided so far.

    *blocked_by* holds the notifications that hold the cooldown, as the script returns them;
    *inherited* by channel the due time of an earlier notification that this one supersedes.
    """

    part: Part
    user: str
    request: DeliveryRequest
    stored: PreferenceFields = _NOTHING
    decision: ChannelDecision = _UNDECIDED
    blocked_by: bytes = b""
    inherited: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The type of the notification."""
        return self.part.plan.intent.type

    @property
    def rank(self) -> int:
        """The rank of its severity, 0 for the lowest."""
        return SEVERITIES.index(self.part.plan.intent.severity)

    @property
    def asked_ms(self) -> int | None:
        """The due time of the intent, in epoch ms; None is at once."""
        return self.part.plan.intent.due_at_ms

    @property
    def timing(self) -> Timing:
        """What decides when the deliveries are due."""
        plan = self.part.plan
        due_ms = max(self.asked_ms or 0, plan.created_at_ms)
        return timing_of(self.request, self.stored, due_ms, plan.intent.expires_at_ms)

    @property
    def delayed(self) -> list[str]:
        """The channels that deliver later than the others."""
        return [delivery.channel for delivery in self.decision.deliveries if delivery.delay_ms]

    @property
    def will_deliver(self) -> bool:
        """Whether any channel delivers."""
        return bool(self.decision.deliveries) and not self.blocked_by


@dataclass(frozen=True, slots=True)
class RecipientBatch:
    """Recipients of one script call: of one shard, and with the same value *alike*."""

    keys: Keys
    alike: str
    recipients: Sequence[Recipient] = field(repr=False)


def recipients_of(part: Part) -> Iterator[Recipient]:
    """Yield each recipient of a part once, with the requested channels."""
    plan = part.plan
    channels: dict[str, tuple[str, ...]] = {}
    for route in part.requested_routes:
        channel, _, user = route.partition(":")
        channels[user] = (*channels.get(user, ()), channel)
    requests: dict[tuple[str, ...], DeliveryRequest] = {}
    for user, wanted in channels.items():
        if wanted not in requests:
            requests[wanted] = _request_of(plan, wanted)
        yield Recipient(part, user, requests[wanted])


def _request_of(plan: Plan, channels: tuple[str, ...]) -> DeliveryRequest:
    intent, shared = plan.intent, plan.shared
    return DeliveryRequest(
        channels,
        intent.names_channels,
        intent.severity,
        shared.channels,
        intent.type in shared.mandatory,
        channels,
        shared.quiet_channels,
        shared.delays_by_channel,
    )


def batches(
    key_space: KeySpace,
    recipients: Iterable[Recipient],
    alike: Callable[[Recipient], str],
    most: int,
) -> list[RecipientBatch]:
    """Group recipients by shard and by the value of *alike*, at most *most* in a batch."""
    groups: dict[tuple[int, str], list[Recipient]] = {}
    for recipient in recipients:
        groups.setdefault(
            (key_space.keys_of_user(recipient.user).shard, alike(recipient)), []
        ).append(recipient)
    return [
        RecipientBatch(key_space.keys(shard), kind, members[start : start + most])
        for (shard, kind), members in groups.items()
        for start in range(0, len(members), most)
    ]


def query(
    grouped: Sequence[RecipientBatch],
    call: Callable[[RecipientBatch], ScriptCall],
    read: Callable[[Any, int], Sequence[T]],
) -> Flow[list[tuple[Recipient, T]]]:
    """Run a call for each batch in one round trip; return each recipient with its answer.

    *read* turns the reply of a batch into one answer for each recipient. Raises `RedisFault`:
    rules that cannot be read are never skipped.
    """
    if not grouped:
        return []
    script_calls = [call(batch) for batch in grouped]
    replies = yield script_calls
    answers: list[tuple[Recipient, T]] = []
    for batch, script_call, reply in zip(grouped, script_calls, replies, strict=True):
        with as_fault(script_call.script.name):
            values = read(unwrap(reply), len(batch.recipients))
        answers += zip(batch.recipients, values, strict=True)
    return answers
