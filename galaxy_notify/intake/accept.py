"""Accepting: plans become calls of bounded size, and their answers receipts.

One flow serves threads and asyncio, one intent and a thousand. In order:

1. Plans that no rule decides about are grouped by shard into calls; each call is sent as soon as
   it is full, and the next intents are planned while Redis works on it: that overlap makes a batch
   more than twice as fast (docs/decisions/0012-accept-plans-while-it-sends.md). The round trip
   ends after the last one.
2. Where rules decide, they are applied first, for many parts together, and the rulings go into
   the calls. Without knowing of any preference nobody looks for them: then Redis answers
   ``consult``, and those intents come here as well.
3. The later parts of a large fan-out follow when the first one is there: it decides whether the
   whole is new, known, or cancelled meanwhile.
4. Each plan has its receipt, or an `Unknown` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.plan import Part, Plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.intake.rules.collapse import supersede
from galaxy_notify.intake.rules.recipients import Recipient, recipients_of
from galaxy_notify.intake.rules.rulings import Ruling, apply_rules
from galaxy_notify.intake.unknown import Unknown, in_doubt, with_missing_rights
from galaxy_notify.model.notification import NewNotification
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import Flow, Send, unwrap_or
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.accept_calls import AcceptCall, AcceptCalls, AcceptOutcome
from galaxy_notify.redis_state.shared_settings import KeySpace

_PARTS_PER_ROUND: Final = 32
_ROUTES_PER_ROUND: Final = 1000
_THERE: Final = frozenset({"accepted", "duplicate"})
#: Not there: surely, or as far as is known.
_MISSING: Final = frozenset({"fault", "unknown"})
_NOT_WRITTEN: Final = frozenset({"fault", "consult", "conflict"})
_CONFLICT: Final = "this idempotency key was used with other content"


class Accepted(NamedTuple):
    """What became of each plan, in order, and what its flow has learned.

    *is_in_doubt* says that a server answered which may not be the primary any more.
    """

    receipts: list[Receipt | Unknown]
    preferences_exist: bool
    is_in_doubt: bool = False


def accept_flow(
    key_space: KeySpace, plans: Iterable[Plan | Receipt], *, preferences_exist: bool
) -> Flow[Accepted]:
    """Accept plans; a receipt among them stays what it is.

    *plans* may be an iterator: each is made when its turn comes. *preferences_exist* is what
    earlier flows have learned. Raises `RedisFault` where rules could not be looked at.
    """
    work = _Accepting(key_space, preferences_exist)
    receipts = yield from work.run(plans)
    if all([isinstance(one, Receipt) for one in receipts]):
        return Accepted(receipts, work.preferences_exist)
    receipts = yield from with_missing_rights(key_space, receipts)
    return Accepted(receipts, work.preferences_exist, in_doubt(receipts))


class _Accepting:
    """One run of the flow: what it learns about preferences holds for what follows in it."""

    __slots__ = ("_has_written", "_key_space", "preferences_exist")

    def __init__(self, key_space: KeySpace, preferences_exist: bool) -> None:
        self._key_space = key_space
        self._has_written = False
        self.preferences_exist = preferences_exist

    def run(self, plans: Iterable[Plan | Receipt]) -> Flow[list[Receipt | Unknown]]:
        try:
            return (yield from self._run(plans))
        except RedisFault as fault:
            # Of the whole something may be there, whatever the server says of the rest.
            raise fault.with_unknown_outcome() if self._has_written else fault from fault.__cause__

    def _run(self, plans: Iterable[Plan | Receipt]) -> Flow[list[Receipt | Unknown]]:
        items, outcomes = yield from self._send_unruled(plans)
        left = {
            place: Part(item, 1)
            for place, item in enumerate(items)
            if isinstance(item, Plan)
            and (place not in outcomes or outcomes[place].word == "consult")
        }
        self._learn(outcomes.values())
        if left:
            ruled = yield from self._accept_ruled([*left.values()])
            outcomes |= zip(left, ruled, strict=True)
        receipts: list[Receipt | Unknown] = []
        for place, item in enumerate(items):
            if isinstance(item, Plan):
                whole = outcomes[place]
                if item.part_count > 1 and whole.word in _THERE:
                    whole = yield from self._with_later_parts(item, whole)
                receipts.append(_receipt(item, whole))
            else:
                receipts.append(item)
        return receipts

    def _send_unruled(
        self, plans: Iterable[Plan | Receipt]
    ) -> Flow[tuple[list[Plan | Receipt], dict[int, AcceptOutcome]]]:
        """Send the first part of each plan that needs no rules, while the next ones are made.

        Returns all items, and by their places the outcomes of what was sent.
        """
        items: list[Plan | Receipt] = []
        filling = AcceptCalls(self._key_space, ruled=False)
        sent: list[AcceptCall] = []
        for place, item in enumerate(plans):
            items.append(item)
            if isinstance(item, Plan) and not self._needs_rules(item):
                full = filling.add(place, Part(item, 1).as_requested())
                if full is not None:
                    sent.append(full)
                    yield Send(full.call)
        return items, (yield from _answered(sent, filling.rest()))

    def _needs_rules(self, plan: Plan) -> bool:
        """Tell whether rules have to be looked at first, as far as that is known yet."""
        shared = self._key_space.shared
        return self.preferences_exist or shared.has_cooldowns or plan.collapses

    def _learn(self, outcomes: Iterable[AcceptOutcome]) -> bool:
        """Return whether Redis asked for the preferences: then somebody has set one."""
        words = {outcome.word for outcome in outcomes}
        self._has_written |= not words <= _NOT_WRITTEN
        is_asked = "consult" in words
        self.preferences_exist |= is_asked
        return is_asked

    def _with_later_parts(self, plan: Plan, first: AcceptOutcome) -> Flow[AcceptOutcome]:
        """Accept what follows a first part that is there; return the outcome of the whole."""
        whole, later = first, islice(plan.parts, 1, None)
        while some := list(islice(later, _PARTS_PER_ROUND)):
            for outcome in (yield from self._accept_later(some, first.detail == "cancelled")):
                if outcome.word in _MISSING:
                    # The parts before it are there: of the whole something was written.
                    return outcome._replace(word="unknown")
                whole = whole._replace(
                    routes=whole.routes + outcome.routes, skipped=whole.skipped + outcome.skipped
                )
        return whole

    def _accept_later(self, parts: Sequence[Part], cancelled: bool) -> Flow[list[AcceptOutcome]]:
        # What is born cancelled nobody is notified of, whatever the rules say.
        if not cancelled and self._needs_rules(parts[0].plan):
            return (yield from self._accept_ruled(parts))
        items = [part.as_requested(cancelled=cancelled) for part in parts]
        outcomes = yield from self._send(items, ruled=cancelled)
        if self._learn(outcomes):
            return (yield from self._accept_ruled(parts))
        return outcomes

    def _accept_ruled(self, parts: Sequence[Part]) -> Flow[list[AcceptOutcome]]:
        """Accept parts as rules have it; what a collapse key supersedes is taken back."""
        outcomes: list[AcceptOutcome] = []
        for some in _rounds(parts):
            outcomes += yield from self._accept_round(some)
        return outcomes

    def _accept_round(self, parts: Sequence[Part]) -> Flow[list[AcceptOutcome]]:
        there = yield from self._known(parts)
        new = [part for part, is_there in zip(parts, there, strict=True) if not is_there]
        ruled = self.preferences_exist
        made = iter((yield from apply_rules(self._key_space, new, preferences_exist=ruled)))
        rulings = [None if is_there else next(made) for is_there in there]
        items = [
            part.with_groups(ruling.groups) if ruling else part.as_requested()
            for part, ruling in zip(parts, rulings, strict=True)
        ]
        outcomes = yield from self._send(items, ruled=ruled)
        if self._learn(outcomes):
            # Somebody has set a preference for the first time: from now on they are looked at.
            return (yield from self._accept_round(parts))
        yield from supersede(self._key_space, _superseding(parts, rulings, outcomes))
        return outcomes

    def _known(self, parts: Sequence[Part]) -> Flow[list[bool]]:
        """Return which parts are there: rules have decided about these, and begin nothing again."""
        asked = [part for part in parts if part.plan.may_be_there]
        if not asked:
            return [False] * len(parts)
        keys = (self._key_space.keys_for(part.name).notification(part.name) for part in asked)
        replies = iter((yield [Command(["HEXISTS", key, "open"]) for key in keys]))
        return [part.plan.may_be_there and bool(unwrap_or(next(replies), 0)) for part in parts]

    def _send(self, items: Iterable[NewNotification], *, ruled: bool) -> Flow[list[AcceptOutcome]]:
        """Send parts in one round trip; return the outcome of each, in order."""
        filling = AcceptCalls(self._key_space, ruled=ruled)
        sent: list[AcceptCall] = []
        for place, item in enumerate(items):
            full = filling.add(place, item)
            if full is not None:
                sent.append(full)
                yield Send(full.call)
        outcomes = yield from _answered(sent, filling.rest())
        return [outcomes[place] for place in range(len(outcomes))]


def _receipt(plan: Plan, outcome: AcceptOutcome) -> Receipt | Unknown:
    word = outcome.word
    if word in _MISSING:
        return Unknown(outcome.detail, refused=word == "fault")
    if word == "conflict":
        error = InvalidIntent("idempotency_key", _CONFLICT, "conflict")
        return refused(error, plan.notification_id)
    # An id made for this very accept cannot be there already but by our own earlier sending.
    is_duplicate = word == "duplicate" and plan.may_repeat
    return Receipt(
        plan.notification_id,
        "duplicate" if is_duplicate else "accepted",
        outcome.routes,
        plan.part_count,
        skipped=outcome.skipped,
    )


def _answered(
    sent: Sequence[AcceptCall], rest: Sequence[AcceptCall]
) -> Flow[dict[int, AcceptOutcome]]:
    """Send the rest and end the round trip; return the outcomes by their places."""
    if not rest:
        return {}
    replies = yield [one.call for one in rest]
    outcomes: dict[int, AcceptOutcome] = {}
    for one, reply in zip((*sent, *rest), replies, strict=True):
        outcomes |= one.outcomes(reply)
    return outcomes


def _rounds(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Divide parts into as many as rules are looked at for together."""
    some: list[Part] = []
    routes = 0
    for part in parts:
        size = len(part.requested_routes)
        if some and routes + size > _ROUTES_PER_ROUND:
            yield some
            some, routes = [], 0
        some.append(part)
        routes += size
    if some:
        yield some


def _superseding(
    parts: Sequence[Part], rulings: Sequence[Ruling | None], outcomes: Sequence[AcceptOutcome]
) -> Iterator[Recipient]:
    """Return who is notified of what came about, or had before: the rest supersedes nothing."""
    for part, ruling, outcome in zip(parts, rulings, outcomes, strict=True):
        if not part.plan.collapses or outcome.word not in _THERE:
            continue
        if ruling is None:
            yield from recipients_of(part)
        else:
            yield from (one for one in ruling.recipients if one.will_deliver)
