"""Accepting as a plain generator, so that one flow serves threads and asyncio.

A flow yields what to run in one round trip and is sent the replies: a reply, or the fault that
stands in its place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

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


class Unknown(NamedTuple):
    """Stands for the receipt of an intent of which nothing is known, with the reason."""

    reason: str


def accept_flow(layout: Layout, plans: Sequence[Plan | Receipt]) -> Flow[list[Receipt | Unknown]]:
    """Accept what was planned. First parts go first: they decide what becomes of the whole."""
    receipts: list[Receipt | Unknown] = [
        p if isinstance(p, Receipt) else Unknown("") for p in plans
    ]
    planned: list[tuple[int, Plan]] = []
    firsts: list[NewNotification] = []
    for place, intent_plan in enumerate(plans):
        if isinstance(intent_plan, Plan):
            firsts.append(intent_plan.part(1))
            planned.append((place, intent_plan))
    answers = yield from _accept_all(layout, firsts)
    for (place, intent_plan), answer in zip(planned, answers, strict=True):
        unknown = yield from _complete(layout, intent_plan, answer)
        receipts[place] = unknown or _receipt(intent_plan, answer)
    return receipts


def _complete(layout: Layout, planned: Plan, first: calls.Answer) -> Flow[Unknown | None]:
    """Accept what follows a first part; return why the outcome of the whole is unknown, if so."""
    if first.word == "fault":
        return Unknown(first.detail)
    if planned.parts == 1 or first.word == "conflict":
        return None
    return (yield from _accept_later(layout, planned, first.detail == "cancelled"))


def _accept_all(layout: Layout, parts: Sequence[NewNotification]) -> Flow[list[calls.Answer]]:
    answers: list[calls.Answer] = [calls.Answer("fault", "")] * len(parts)
    batches = list(_batches(layout, parts))
    if not batches:
        return answers
    replies = yield [
        calls.accept(layout.keys_for(parts[batch[0]].notification_id), [parts[i] for i in batch])
        for batch in batches
    ]
    for batch, reply in zip(batches, replies, strict=True):
        if isinstance(reply, RedisFault):
            found = [calls.Answer("fault", str(reply))] * len(batch)
        else:
            found = calls.answers(reply)
        for place, answer in zip(batch, found, strict=True):
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


def _accept_later(layout: Layout, planned: Plan, cancelled: bool) -> Flow[Unknown | None]:
    parts = [part._replace(born_cancelled=cancelled) for part in planned.later_parts()]
    for start in range(0, len(parts), _PARTS_PER_ROUND):
        chunk = parts[start : start + _PARTS_PER_ROUND]
        answers = yield from _accept_all(layout, chunk)
        for answer in answers:
            if answer.word == "fault":
                return Unknown(answer.detail)
    return None


def _receipt(planned: Plan, answer: calls.Answer) -> Receipt:
    word = answer.word
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
