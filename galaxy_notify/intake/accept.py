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

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, TypeVar

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
from galaxy_notify.redis_state.accept_calls import AcceptCalls, AcceptOutcome
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.redis_state.words import Word

T = TypeVar("T")
_PARTS_PER_ROUND: Final = 32
_ROUTES_PER_ROUND: Final = 1000
# Compared for every part: a constant costs less than a lookup in the enum.
_CONFLICTS, _REPEATED, _CHECK_RULES = Word.CONFLICT, Word.DUPLICATE, Word.CHECK_RULES
_STORED: Final = frozenset({Word.ACCEPTED, Word.DUPLICATE})
#: Not stored, or not known to be stored.
_MISSING: Final = frozenset({Word.FAULT, Word.UNKNOWN})
#: In place of the outcome of what was not sent: a receipt, or a plan that needs rules first.
_NOT_SENT: Final = AcceptOutcome("", "", 0, 0)
_NOT_WRITTEN: Final = frozenset({_NOT_SENT.word, Word.FAULT, Word.CHECK_RULES, Word.CONFLICT})
_RULES_FIRST: Final = frozenset({_NOT_SENT.word, Word.CHECK_RULES})
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
    return _AcceptRun(key_space, preferences_exist).run(plans)


def accept_unruled_flow(
    key_space: KeySpace, plans: Sequence[Plan], *, preferences_exist: bool
) -> Flow[list[Receipt | Unknown | None]]:
    """Accept plans of one part each, in one round trip; rules are not applied.

    Returns None for a plan that needs rules, which is not stored: `accept_flow` takes it.
    """
    return _AcceptRun(key_space, preferences_exist).run_unruled(plans)


def needs_rules(plan: Plan, shared: SharedSettings, *, preferences_exist: bool) -> bool:
    """Return whether rules have to be applied to a plan first, as far as is known."""
    return preferences_exist or shared.has_cooldowns or plan.collapses


class _AcceptRun:
    """One run of the flow; `preferences_exist` becomes True once Redis reports a preference."""

    __slots__ = ("_has_written", "_key_space", "_preferences_exist")

    def __init__(self, key_space: KeySpace, preferences_exist: bool) -> None:
        self._key_space = key_space
        self._has_written = False
        self._preferences_exist = preferences_exist

    def run(self, plans: Iterable[Plan | Receipt]) -> Flow[Accepted]:
        receipts: list[Receipt | Unknown] = []
        try:
            items, outcomes = yield from self._send(plans, self._unruled_part, ruled=False)
            if not _RULES_FIRST.isdisjoint(self._learn(outcomes)):
                outcomes = yield from self._with_ruled(items, outcomes)
            for item, outcome in zip(items, outcomes, strict=True):
                if isinstance(item, Plan):
                    if item.part_count > 1 and outcome.word in _STORED:
                        outcome = yield from self._with_later_parts(item, outcome)
                    receipts.append(_receipt(item, outcome))
                else:
                    receipts.append(item)
        except RedisFault as fault:
            # Some parts may be stored already, so the outcome of the whole is unknown.
            found = fault.with_unknown_outcome() if self._has_written else fault
            raise found from fault.__cause__
        if Unknown not in map(type, receipts):
            return Accepted(receipts, self._preferences_exist)
        receipts = yield from with_missing_rights(self._key_space, receipts)
        return Accepted(receipts, self._preferences_exist, needs_refresh(receipts))

    def run_unruled(self, plans: Sequence[Plan]) -> Flow[list[Receipt | Unknown | None]]:
        _, outcomes = yield from self._send(plans, self._unruled_part, ruled=False)
        return [
            None if outcome.word in _RULES_FIRST else _receipt(plan, outcome)
            for plan, outcome in zip(plans, outcomes, strict=True)
        ]

    def _with_ruled(
        self, items: Sequence[Plan | Receipt], outcomes: Sequence[AcceptOutcome]
    ) -> Flow[list[AcceptOutcome]]:
        """Accept the plans that need rules; return the outcomes of all items."""
        parts = {
            place: Part(item, 1)
            for place, item in enumerate(items)
            if isinstance(item, Plan) and outcomes[place].word in _RULES_FIRST
        }
        ruled = yield from self._accept_ruled([*parts.values()])
        found = dict(zip(parts, ruled, strict=True))
        return [found.get(place, outcome) for place, outcome in enumerate(outcomes)]

    def _send(
        self, items: Iterable[T], part_of: Callable[[T], NewNotification | None], *, ruled: bool
    ) -> Flow[tuple[list[T], list[AcceptOutcome]]]:
        """Send the part of each item in one round trip, while the next items are made.

        Returns all items, and the outcome of each: `_NOT_SENT` if it has no part to send.
        """
        sent: list[T] = []
        calls = AcceptCalls(self._key_space, ruled=ruled)
        for place, item in enumerate(items):
            sent.append(item)
            part = part_of(item)
            if part is not None and (full := calls.add(place, part)) is not None:
                yield Send(full)
        outcomes = [_NOT_SENT] * len(sent)
        if rest := calls.rest():
            for place, outcome in calls.outcomes((yield rest)).items():
                outcomes[place] = outcome
        return sent, outcomes

    def _unruled_part(self, item: Plan | Receipt) -> NewNotification | None:
        """Return the first part of a plan that needs no rules."""
        if not isinstance(item, Plan) or self._needs_rules(item):
            return None
        return Part(item, 1).as_requested()

    def _needs_rules(self, plan: Plan) -> bool:
        exist = self._preferences_exist
        return needs_rules(plan, self._key_space.shared, preferences_exist=exist)

    def _learn(self, outcomes: Iterable[AcceptOutcome]) -> set[str]:
        """Return the words of the outcomes; if Redis asks for the preferences, some exist."""
        words = {outcome.word for outcome in outcomes}
        if not words <= _NOT_WRITTEN:
            self._has_written = True
        if _CHECK_RULES in words:
            self._preferences_exist = True
        return words

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
        requested = partial(Part.as_requested, cancelled=cancelled)
        _, outcomes = yield from self._send(parts, requested, ruled=cancelled)
        if _CHECK_RULES in self._learn(outcomes):
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
        ruled = self._preferences_exist
        new_rulings = iter((yield from apply_rules(self._key_space, new, preferences_exist=ruled)))
        rulings = [None if is_known else next(new_rulings) for is_known in known]
        items = [
            part.with_groups(ruling.groups) if ruling else part.as_requested()
            for part, ruling in zip(parts, rulings, strict=True)
        ]
        _, outcomes = yield from self._send(items, lambda item: item, ruled=ruled)
        if _CHECK_RULES in self._learn(outcomes):
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
