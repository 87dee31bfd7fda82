"""Accepting as a plain generator, so that one flow serves threads and asyncio.

A flow yields what to run in one round trip and is sent the replies: a reply, or the fault that
stands in its place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.planning import Plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.intake.rights import explained
from galaxy_notify.intake.rules.collapse import supersede
from galaxy_notify.intake.rules.recipients import Part, Recipient, recipients_of
from galaxy_notify.intake.rules.ruling import rule
from galaxy_notify.intake.unknown import UNREAD, Unknown
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import sound_or
from galaxy_notify.redis_client.scripts import Call, Read, Scripts
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import NewNotification
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.keys import Keys

T = TypeVar("T")
Flow = Generator[Sequence[Call | Read] | Scripts, list[Any], T]

# Redis runs a call of this size in one or two milliseconds.
_ROUTES_PER_CALL: Final = 200
_BYTES_PER_CALL: Final = 1 << 18
_PARTS_PER_ROUND: Final = 32
_ROUTES_PER_ROUND: Final = 1000
_THERE: Final = frozenset({"accepted", "duplicate"})
_CONFLICT: Final = "this idempotency key was used with other content"


_PLANNED: Final = Unknown("")
_CONSULT: Final = calls.Answer("consult", "")
_UNKNOWN: Final = calls.Answer("unknown", "")
#: Not there: surely, or as far as is known.
_MISSING: Final = frozenset({"fault", "unknown"})


def accept_flow(layout: Layout, plans: Iterable[Plan | Receipt]) -> Flow[list[Receipt | Unknown]]:
    """Accept what was planned. First parts go first: they decide what becomes of the whole.

    Whatever is planned lazily is planned while what came before it is on its way; what rules
    have to decide about waits until then.
    """
    receipts: list[Receipt | Unknown] = []
    planned: dict[int, Plan] = {}
    plain: list[int] = []
    firsts = _firsts(layout, plans, receipts, planned, plain)
    answers = yield from _accept_all(layout, firsts, ruled=False)
    found = dict(zip(plain, answers, strict=True))
    left = [place for place in planned if place not in found or found[place].word == "consult"]
    ruled = yield from _accept_ruled(layout, [Part(planned[place], 1) for place in left])
    found |= zip(left, ruled, strict=True)
    for place, intent_plan in planned.items():
        answer = found[place]
        if intent_plan.parts == 1 and answer.word not in _MISSING:
            receipts[place] = _receipt(intent_plan, answer)
        else:
            receipts[place] = yield from _complete(layout, intent_plan, answer)
    return (yield from explained(layout, receipts))


def accept_one(layout: Layout, planned: Plan) -> Flow[Receipt | Unknown]:
    """Accept one intent."""
    receipt = yield from _accept_one(layout, planned)
    if isinstance(receipt, Receipt):
        return receipt
    (found,) = yield from explained(layout, [receipt])
    return found


def _accept_one(layout: Layout, planned: Plan) -> Flow[Receipt | Unknown]:
    answer = _CONSULT
    if not _needs_rules(layout, planned):
        keys = layout.keys_for(planned.notification_id)
        (reply,) = yield Scripts([calls.accept(keys, [planned.part(1)])])
        if isinstance(reply, RedisFault):
            return Unknown(str(reply), refused=reply.wrote_nothing)
        (answer,) = _read(reply, 1)
    if answer.word == "consult":
        (answer,) = yield from _accept_ruled(layout, [Part(planned, 1)])
    return (yield from _complete(layout, planned, answer))


def _needs_rules(layout: Layout, planned: Plan) -> bool:
    """Tell whether rules have to be looked at first, as far as that is known yet."""
    return layout.preferred.is_set or layout.deployment.has_cooldowns or planned.collapses


def _accept_ruled(layout: Layout, parts: Sequence[Part]) -> Flow[list[calls.Answer]]:
    """Accept parts as rules have it; what a collapse key supersedes is taken back."""
    answers: list[calls.Answer] = []
    for some in _rounds(parts):
        answers += yield from _accept_some(layout, some)
    return answers


def _rounds(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Divide parts into as many as rules are looked at for together."""
    some: list[Part] = []
    routes = 0
    for part in parts:
        size = len(part.plan.candidates(part.number))
        if some and routes + size > _ROUTES_PER_ROUND:
            yield some
            some, routes = [], 0
        some.append(part)
        routes += size
    if some:
        yield some


def _accept_some(layout: Layout, parts: Sequence[Part]) -> Flow[list[calls.Answer]]:
    new = yield from _unknown(layout, parts)
    # Others may learn of preferences meanwhile: what did not ask for them has to be told so.
    ruled = layout.preferred.is_set
    told = yield from rule(layout, new)
    made = [part.plan.part(part.number) for part in parts]
    answers = yield from _accept_all(layout, made, ruled=ruled)
    if any(answer.word == "consult" for answer in answers):
        # Somebody has set a preference for the first time: from now on they are looked at.
        layout.preferred.is_set = True
        return (yield from _accept_some(layout, parts))
    yield from supersede(layout, _newer(parts, answers, told))
    return answers


def _newer(
    parts: Sequence[Part], answers: Sequence[calls.Answer], told: Sequence[Recipient]
) -> Iterator[Recipient]:
    """Return who is told of what came about, or had before: nothing else supersedes anything."""
    ruled: dict[int, list[Recipient]] = {}
    for one in told:
        ruled.setdefault(id(one.part), []).append(one)
    for part, answer in zip(parts, answers, strict=True):
        if not part.plan.collapses or answer.word not in _THERE:
            continue
        if id(part) in ruled:
            yield from (one for one in ruled[id(part)] if one.is_told)
        else:
            yield from recipients_of(part)


def _unknown(layout: Layout, parts: Sequence[Part]) -> Flow[list[Part]]:
    """Leave out what is there already: rules have decided about it, and begin nothing anew."""
    repeats = [part for part in parts if part.plan.repeatable]
    if not repeats:
        return list(parts)
    keys = (layout.keys_for(part.name).notification(part.name) for part in repeats)
    replies = yield [Read(["HEXISTS", key, "open"]) for key in keys]
    known = {id(part) for part, reply in zip(repeats, replies, strict=True) if sound_or(reply, 0)}
    return [part for part in parts if id(part) not in known]


def _read(reply: Any, items: int) -> list[calls.Answer]:
    """Read the answers of an accept; what cannot be read tells nothing of any item."""
    try:
        return calls.answers(reply, items)
    except (ValueError, TypeError, LookupError, AttributeError):
        return [calls.Answer("unknown", UNREAD)] * items


def _complete(layout: Layout, planned: Plan, first: calls.Answer) -> Flow[Receipt | Unknown]:
    """Accept what follows a first part that is there and known; return what to tell."""
    if first.word in _MISSING:
        return Unknown(first.detail, refused=first.word == "fault")
    if planned.parts > 1 and first.word != "conflict":
        unknown = yield from _accept_later(layout, planned, first.detail == "cancelled")
        if unknown:
            return unknown
    return _receipt(planned, first)


def _firsts(
    layout: Layout,
    plans: Iterable[Plan | Receipt],
    receipts: list[Receipt | Unknown],
    planned: dict[int, Plan],
    plain: list[int],
) -> Iterator[NewNotification]:
    """Return the first parts that no rule decides about; note the places of these and of all."""
    for place, intent_plan in enumerate(plans):
        if not isinstance(intent_plan, Plan):
            receipts.append(intent_plan)
            continue
        receipts.append(_PLANNED)
        planned[place] = intent_plan
        if not _needs_rules(layout, intent_plan):
            plain.append(place)
            yield intent_plan.part(1)


def _accept_all(
    layout: Layout, parts: Iterable[NewNotification], *, ruled: bool
) -> Flow[list[calls.Answer]]:
    batches: list[list[int]] = []
    replies = yield Scripts(_calls(layout, parts, batches, ruled=ruled))
    answers = [_UNKNOWN] * sum(map(len, batches))
    for batch, reply in zip(batches, replies, strict=True):
        if isinstance(reply, RedisFault):
            word = "fault" if reply.wrote_nothing else "unknown"
            found = [calls.Answer(word, str(reply))] * len(batch)
        else:
            found = _read(reply, len(batch))
        for place, answer in zip(batch, found, strict=True):
            answers[place] = answer
    return answers


class _Waiting:
    """Parts of one shard that wait for their call, and their places."""

    __slots__ = ("bytes", "keys", "parts", "places", "routes")

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.parts: list[NewNotification] = []
        self.places: list[int] = []
        self.routes = 0
        self.bytes = 0

    def takes(self, part: NewNotification) -> bool:
        """Take a part, unless the call is full."""
        routes = self.routes + sum(len(group.routes) for group in part.groups)
        size = self.bytes + len(part.record)
        if self.parts and (routes > _ROUTES_PER_CALL or size > _BYTES_PER_CALL):
            return False
        self.parts.append(part)
        self.routes, self.bytes = routes, size
        return True


def _calls(
    layout: Layout, parts: Iterable[NewNotification], batches: list[list[int]], *, ruled: bool
) -> Iterator[Call]:
    """Group parts by shard, in order, into calls of bounded size; add the places of each call."""
    shards: dict[str, _Waiting] = {}
    for place, part in enumerate(parts):
        keys = layout.keys_for(part.notification_id)
        waiting = shards.get(keys.tag) or _Waiting(keys)
        if not waiting.takes(part):
            batches.append(waiting.places)
            yield calls.accept(keys, waiting.parts, ruled=ruled)
            waiting = _Waiting(keys)
            waiting.takes(part)
        waiting.places.append(place)
        shards[keys.tag] = waiting
    for waiting in shards.values():
        batches.append(waiting.places)
        yield calls.accept(waiting.keys, waiting.parts, ruled=ruled)


def _accept_later(layout: Layout, planned: Plan, cancelled: bool) -> Flow[Unknown | None]:
    parts = [Part(planned, number) for number in range(2, planned.parts + 1)]
    for start in range(0, len(parts), _PARTS_PER_ROUND):
        chunk = parts[start : start + _PARTS_PER_ROUND]
        answers = yield from _accept_chunk(layout, chunk, cancelled)
        for answer in answers:
            # The parts before it are there: of the whole something was written.
            if answer.word in _MISSING:
                return Unknown(answer.detail)
    return None


def _accept_chunk(
    layout: Layout, parts: Sequence[Part], cancelled: bool
) -> Flow[list[calls.Answer]]:
    # What is born cancelled nobody is told of, whatever the rules say.
    if not cancelled and _needs_rules(layout, parts[0].plan):
        return (yield from _accept_ruled(layout, parts))
    items = (part.plan.part(part.number)._replace(born_cancelled=cancelled) for part in parts)
    answers = yield from _accept_all(layout, items, ruled=cancelled)
    if any(answer.word == "consult" for answer in answers):
        layout.preferred.is_set = True
        return (yield from _accept_chunk(layout, parts, cancelled))
    return answers


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
        planned.made,
        planned.parts,
        skipped=planned.skipped,
    )
