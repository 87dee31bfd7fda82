"""Accepting as a plain generator, so that one flow serves threads and asyncio.

A flow yields what to run in one round trip and is sent the replies: a reply, or the fault that
stands in its place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, TypeVar

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.planning import Plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import NewNotification
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.redis_state.scripts import Call, Read

T = TypeVar("T")
Flow = Generator[list[Call | Read], list[Any], T]

_ROUTES_PER_CALL: Final = 1000
_BYTES_PER_CALL: Final = 1 << 20
_PARTS_PER_ROUND: Final = 32
_CONFLICT: Final = "this idempotency key was used with other content"


def accept_flow(layout: Layout, plans: Sequence[Plan | Receipt]) -> Flow[list[Receipt | None]]:
    """Accept what was planned; None stands where the outcome is unknown.

    First parts go first: they decide what is accepted, a duplicate or a conflict.
    """
    receipts: list[Receipt | None] = [p if isinstance(p, Receipt) else None for p in plans]
    planned: list[tuple[int, Plan]] = []
    firsts: list[NewNotification] = []
    for place, intent_plan in enumerate(plans):
        if isinstance(intent_plan, Plan):
            try:
                firsts.append(intent_plan.part(1))
            except InvalidIntent as error:
                receipts[place] = refused(error)
            else:
                planned.append((place, intent_plan))
    answers = yield from _accept_all(layout, firsts)
    for (place, intent_plan), answer in zip(planned, answers, strict=True):
        if (yield from _complete(layout, intent_plan, answer)):
            receipts[place] = _receipt(intent_plan, answer)
    return receipts


def _complete(layout: Layout, planned: Plan, first: calls.Answer | None) -> Flow[bool]:
    """Accept what follows a first part; tell whether the outcome of the whole is known."""
    if first is None or first.word == "fault":
        return False
    if planned.parts == 1 or first.word == "conflict":
        return True
    return (yield from _accept_later(layout, planned, first.detail == "cancelled"))


def _accept_all(
    layout: Layout, parts: Sequence[NewNotification]
) -> Flow[list[calls.Answer | None]]:
    answers: list[calls.Answer | None] = [None] * len(parts)
    batches = list(_batches(layout, parts))
    if not batches:
        return answers
    replies = yield [
        calls.accept(layout.keys_for(parts[batch[0]].notification_id), [parts[i] for i in batch])
        for batch in batches
    ]
    for batch, reply in zip(batches, replies, strict=True):
        if not isinstance(reply, RedisFault):
            for place, answer in zip(batch, calls.answers(reply), strict=True):
                answers[place] = answer
    return answers


def _batches(layout: Layout, parts: Sequence[NewNotification]) -> Iterator[list[int]]:
    """Group the places of parts by shard, in order, each group small enough for one call."""
    waiting: dict[str, list[int]] = {}
    weights: dict[str, tuple[int, int]] = {}
    for place, part in enumerate(parts):
        tag = layout.keys_for(part.notification_id).tag
        routes, size = weights.get(tag, (0, 0))
        routes, size = routes + len(part.routes), size + len(part.record)
        if waiting.get(tag) and (routes > _ROUTES_PER_CALL or size > _BYTES_PER_CALL):
            yield waiting.pop(tag)
            routes, size = len(part.routes), len(part.record)
        waiting.setdefault(tag, []).append(place)
        weights[tag] = (routes, size)
    yield from waiting.values()


def _accept_later(layout: Layout, planned: Plan, cancelled: bool) -> Flow[bool]:
    parts = [part._replace(born_cancelled=cancelled) for part in planned.later_parts()]
    for start in range(0, len(parts), _PARTS_PER_ROUND):
        chunk = parts[start : start + _PARTS_PER_ROUND]
        answers = yield from _accept_all(layout, chunk)
        if any(answer is None or answer.word == "fault" for answer in answers):
            return False
    return True


def _receipt(planned: Plan, answer: calls.Answer | None) -> Receipt:
    word = answer.word if answer else ""
    if word == "conflict":
        error = InvalidIntent("idempotency_key", _CONFLICT, "conflict")
        return refused(error, planned.notification_id)
    # An id made for this very accept cannot be there already but by our own earlier sending.
    duplicate = word == "duplicate" and planned.repeatable
    return Receipt(
        planned.notification_id,
        "duplicate" if duplicate else "accepted",
        len(planned.routes),
        planned.parts,
    )
