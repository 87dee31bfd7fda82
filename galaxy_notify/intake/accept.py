"""Accepting: plans become script calls of bounded size, and their replies become receipts.

One flow serves threads and asyncio, one intent and a thousand. In order:

1. Plans that need no rules are grouped by shard into calls. Each call is sent as soon as it is
   full, and the next intents are planned while Redis works on it: that overlap makes a batch more
   than twice as fast (docs/decisions/0012-accept-plans-while-it-sends.md). The round trip ends
   after the last call.
2. Plans that need rules come next: the rules are applied to many parts together, and the rulings
   go into the calls. Preferences are not read while none is known to exist; if there are some,
   Redis answers ``check_rules``, and those intents are handled in this step too.
3. The later parts of a large fan-out follow once the first part is stored: it decides whether the
   whole notification is new, a duplicate, or already cancelled.
4. Each plan gets a receipt, or an `Unknown` in its place.
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
from galaxy_notify.intake.unknown import Unknown, needs_refresh, with_missing_rights
from galaxy_notify.model.notification import NewNotification
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import Flow, Send, unwrap_or
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.accept_calls import AcceptCall, AcceptCalls, AcceptOutcome
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

_PARTS_PER_ROUND: Final = 32
_ROUTES_PER_ROUND: Final = 1000
# Compared for every part: a constant costs less than a lookup in the enum.
_CONFLICTS, _REPEATED, _CHECK_RULES = Word.CONFLICT, Word.DUPLICATE, Word.CHECK_RULES
_STORED: Final = frozenset({Word.ACCEPTED, Word.DUPLICATE})
#: Not stored, or not known to be stored.
_MISSING: Final = frozenset({Word.FAULT, Word.UNKNOWN})
_NOT_WRITTEN: Final = frozenset({Word.FAULT, Word.CHECK_RULES, Word.CONFLICT})
_CONFLICT: Final = "this idempotency key was used with other content"


class Accepted(NamedTuple):
    """The receipt of each plan, in order, and whether preferences are known to exist.

    *needs_refresh*: the server that answered may no longer be the primary.
    """

    receipts: list[Receipt | Unknown]
    preferences_exist: bool
    needs_refresh: bool = False


def accept_flow(
    key_space: KeySpace, plans: Iterable[Plan | Receipt], *, preferences_exist: bool
) -> Flow[Accepted]:
    """Accept plans; receipts among them are returned unchanged.

    *plans* may be an iterator, which is read while earlier calls are in flight.
    *preferences_exist* is the value of the last flow. Raises `RedisFault` if rules cannot be read.
    """
    run_state = _AcceptRun(key_space, preferences_exist)
    try:
        receipts = yield from run_state.run(plans)
    except RedisFault as fault:
        # Some parts may be stored already, so the outcome of the whole is unknown.
        raise fault.with_unknown_outcome() if run_state.has_written else fault from fault.__cause__
    if all([isinstance(receipt, Receipt) for receipt in receipts]):
        return Accepted(receipts, run_state.preferences_exist)
    receipts = yield from with_missing_rights(key_space, receipts)
    return Accepted(receipts, run_state.preferences_exist, needs_refresh(receipts))


class _AcceptRun:
    """One run of the flow; `preferences_exist` becomes True once Redis reports a preference."""

    __slots__ = ("_key_space", "has_written", "preferences_exist")

    def __init__(self, key_space: KeySpace, preferences_exist: bool) -> None:
        self._key_space = key_space
        self.has_written = False
        self.preferences_exist = preferences_exist

    def run(self, plans: Iterable[Plan | Receipt]) -> Flow[list[Receipt | Unknown]]:
        items, outcomes = yield from self._send_unruled(plans)
        ruled_parts = {
            place: Part(item, 1)
            for place, item in enumerate(items)
            if isinstance(item, Plan)
            and (place not in outcomes or outcomes[place].word == _CHECK_RULES)
        }
        self._learn(outcomes.values())
        if ruled_parts:
            ruled = yield from self._accept_ruled([*ruled_parts.values()])
            outcomes |= zip(ruled_parts, ruled, strict=True)
        receipts: list[Receipt | Unknown] = []
        for place, item in enumerate(items):
            if isinstance(item, Plan):
                outcome = outcomes[place]
                if item.part_count > 1 and outcome.word in _STORED:
                    outcome = yield from self._with_later_parts(item, outcome)
                receipts.append(_receipt(item, outcome))
            else:
                receipts.append(item)
        return receipts

    def _send_unruled(
        self, plans: Iterable[Plan | Receipt]
    ) -> Flow[tuple[list[Plan | Receipt], dict[int, AcceptOutcome]]]:
        """Send the first part of each plan that needs no rules, while the next plans are made.

        Returns all items, and the outcomes of those that were sent, by index.
        """
        items: list[Plan | Receipt] = []
        open_calls = AcceptCalls(self._key_space, ruled=False)
        sent: list[AcceptCall] = []
        for place, item in enumerate(plans):
            items.append(item)
            if isinstance(item, Plan) and not self._needs_rules(item):
                full_call = open_calls.add(place, Part(item, 1).as_requested())
                if full_call is not None:
                    sent.append(full_call)
                    yield Send(full_call.call)
        return items, (yield from _outcomes_of(sent, open_calls.rest()))

    def _needs_rules(self, plan: Plan) -> bool:
        """Return whether rules have to be applied first, as far as is known."""
        shared = self._key_space.shared
        return self.preferences_exist or shared.has_cooldowns or plan.collapses

    def _learn(self, outcomes: Iterable[AcceptOutcome]) -> bool:
        """Return whether Redis asks for the preferences, which means that some exist."""
        words = {outcome.word for outcome in outcomes}
        self.has_written |= not words <= _NOT_WRITTEN
        is_asked = _CHECK_RULES in words
        self.preferences_exist |= is_asked
        return is_asked

    def _with_later_parts(self, plan: Plan, first: AcceptOutcome) -> Flow[AcceptOutcome]:
        """Accept the later parts after a stored first part; return the outcome of the whole."""
        total, later = first, islice(plan.parts, 1, None)
        while chunk := list(islice(later, _PARTS_PER_ROUND)):
            for outcome in (yield from self._accept_later(chunk, first.detail == Word.CANCELLED)):
                if outcome.word in _MISSING:
                    # The earlier parts are stored, so the outcome of the whole is unknown.
                    return outcome._replace(word=Word.UNKNOWN)
                total = total._replace(
                    routes=total.routes + outcome.routes, skipped=total.skipped + outcome.skipped
                )
        return total

    def _accept_later(self, parts: Sequence[Part], cancelled: bool) -> Flow[list[AcceptOutcome]]:
        # A part that is accepted as cancelled notifies no user, so it needs no rules.
        if not cancelled and self._needs_rules(parts[0].plan):
            return (yield from self._accept_ruled(parts))
        items = [part.as_requested(cancelled=cancelled) for part in parts]
        outcomes = yield from self._send(items, ruled=cancelled)
        if self._learn(outcomes):
            return (yield from self._accept_ruled(parts))
        return outcomes

    def _accept_ruled(self, parts: Sequence[Part]) -> Flow[list[AcceptOutcome]]:
        """Accept parts by the rules; cancel the routes that a collapse key supersedes."""
        outcomes: list[AcceptOutcome] = []
        for chunk in _rounds(parts):
            outcomes += yield from self._accept_round(chunk)
        return outcomes

    def _accept_round(self, parts: Sequence[Part]) -> Flow[list[AcceptOutcome]]:
        known = yield from self._accepted_before(parts)
        new = [part for part, is_known in zip(parts, known, strict=True) if not is_known]
        ruled = self.preferences_exist
        new_rulings = iter((yield from apply_rules(self._key_space, new, preferences_exist=ruled)))
        rulings = [None if is_known else next(new_rulings) for is_known in known]
        items = [
            part.with_groups(ruling.groups) if ruling else part.as_requested()
            for part, ruling in zip(parts, rulings, strict=True)
        ]
        outcomes = yield from self._send(items, ruled=ruled)
        if self._learn(outcomes):
            # The first preference was just set: apply the rules again, with preferences.
            return (yield from self._accept_round(parts))
        yield from supersede(self._key_space, _superseding(parts, rulings, outcomes))
        return outcomes

    def _accepted_before(self, parts: Sequence[Part]) -> Flow[list[bool]]:
        """Return which parts are stored already: rules are not applied to them again."""
        repeats = [part for part in parts if part.plan.may_exist]
        if not repeats:
            return [False] * len(parts)
        keys = (self._key_space.keys_for(part.name).notification(part.name) for part in repeats)
        replies = iter((yield [Command(["HEXISTS", key, "open"]) for key in keys]))
        return [part.plan.may_exist and bool(unwrap_or(next(replies), 0)) for part in parts]

    def _send(self, items: Iterable[NewNotification], *, ruled: bool) -> Flow[list[AcceptOutcome]]:
        """Send parts in one round trip; return the outcome of each, in order."""
        open_calls = AcceptCalls(self._key_space, ruled=ruled)
        sent: list[AcceptCall] = []
        for place, item in enumerate(items):
            full_call = open_calls.add(place, item)
            if full_call is not None:
                sent.append(full_call)
                yield Send(full_call.call)
        outcomes = yield from _outcomes_of(sent, open_calls.rest())
        return [outcomes[place] for place in range(len(outcomes))]


def _receipt(plan: Plan, outcome: AcceptOutcome) -> Receipt | Unknown:
    word = outcome.word
    if word in _MISSING:
        return Unknown(outcome.detail, refused=word == Word.FAULT)
    if word == _CONFLICTS:
        error = InvalidIntent("idempotency_key", _CONFLICT, "conflict")
        return refused(error, plan.notification_id)
    # A fresh id can exist only because an earlier attempt of this same accept stored it.
    is_duplicate = word == _REPEATED and plan.may_repeat
    return Receipt(
        plan.notification_id,
        "duplicate" if is_duplicate else "accepted",
        outcome.routes,
        plan.part_count,
        skipped=outcome.skipped,
    )


def _outcomes_of(
    sent: Sequence[AcceptCall], rest: Sequence[AcceptCall]
) -> Flow[dict[int, AcceptOutcome]]:
    """Send the rest and end the round trip; return the outcomes by the index of their item."""
    if not rest:
        return {}
    replies = yield [accept_call.call for accept_call in rest]
    outcomes: dict[int, AcceptOutcome] = {}
    for accept_call, reply in zip((*sent, *rest), replies, strict=True):
        outcomes |= accept_call.outcomes(reply)
    return outcomes


def _rounds(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Split parts into groups of bounded size, to which rules are applied together."""
    chunk: list[Part] = []
    routes = 0
    for part in parts:
        routes_of_part = len(part.requested_routes)
        if chunk and routes + routes_of_part > _ROUTES_PER_ROUND:
            yield chunk
            chunk, routes = [], 0
        chunk.append(part)
        routes += routes_of_part
    if chunk:
        yield chunk


def _superseding(
    parts: Sequence[Part], rulings: Sequence[Ruling | None], outcomes: Sequence[AcceptOutcome]
) -> Iterator[Recipient]:
    """Yield the recipients of stored parts with a collapse key: only they supersede others."""
    for part, ruling, outcome in zip(parts, rulings, outcomes, strict=True):
        if not part.plan.collapses or outcome.word not in _STORED:
            continue
        if ruling is None:
            yield from recipients_of(part)
        else:
            yield from (recipient for recipient in ruling.recipients if recipient.will_deliver)
