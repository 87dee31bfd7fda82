"""How a route ends: decided from what is known of it and its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.endings import DueRoute, Ending, Endings, Result
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.channels.kind import Target
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Failure, Route, Status, decode_route
from galaxy_notify.redis_state.delivery_outcomes import Deliver, GiveUp, Skip
from galaxy_notify.redis_state.settlement import Expire, Release, RetryLater
from galaxy_notify.settings import settings_from
from tests.support.channel_world import (
    BLOCKED,
    BUSY,
    DELIVERED,
    GONE,
    REFUSED,
    SILENT,
    UNREACHABLE,
    channel_sections,
)
from tests.support.worker import publisher_state

NOW = 1_900_000_000_000
ID = "a" * 32
MEMBER = f"{ID}/mine:u1".encode()
NOTE = Notification(notification_id=ID, type="t", producer="p", created_at_ms=NOW, content=b"\x80")
RESTS, FULL = Busy(5000, rests=True), Busy(300, rests=False)


def _endings(**fields: Any) -> Endings:
    settings = settings_from(channel_sections(schedule_ms=[1000, 1000], **fields))
    return Endings("mine", publisher_state(settings))


def _due(route: Route | None = None, **note: Any) -> DueRoute:
    event = LiveEvent(MEMBER.decode(), "t", "info", "", "", {}, NOW)
    found = replace(NOTE, **note)
    route = route or Route(Status.PENDING, NOW, NOW)
    return DueRoute(MEMBER, "u1", route, found, event, NOW)


def _results(**got: Attempt | Busy) -> list[Result]:
    return [
        Result(Target(Contact(name, "mine", "", name, {}, 1), name), one)
        for name, one in got.items()
    ]


def _after(endings: Endings, due: DueRoute | None = None, **got: Attempt | Busy) -> Ending:
    return endings.after(due or _due(), _results(**got))


def _after_all(got: Sequence[Attempt | Busy]) -> Ending:
    named = {f"c{number}": one for number, one in enumerate(got)}
    return _endings().after(_due(), _results(**named))


@pytest.mark.parametrize(
    ("got", "outcome"),
    [
        ([DELIVERED], Deliver),
        ([DELIVERED, REFUSED, GONE, BLOCKED], Deliver),
        ([BUSY], RetryLater),
        ([DELIVERED, BUSY], RetryLater),
        ([REFUSED, BUSY], RetryLater),
        ([RESTS, BUSY], RetryLater),
        ([RESTS], Release),
        ([FULL, REFUSED], Release),
        ([DELIVERED, FULL], RetryLater),
        ([REFUSED, BLOCKED], GiveUp),
        ([GONE, GONE], Skip),
        ([GONE, REFUSED], GiveUp),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_after__weighs_the_attempts_of_all_addresses(
    got: list[Attempt | Busy], outcome: type
) -> None:
    """What may still come is waited for; else one that has it is enough."""
    assert isinstance(_after_all(got).outcome, outcome)


@pytest.mark.parametrize(
    ("got", "failure"),
    [
        ([BLOCKED, BLOCKED], "address_blocked"),
        ([BLOCKED, REFUSED], "delivery_refused"),
    ],
    ids=["blocked", "mixed"],
)
def test_after__names_why_nobody_takes_it(got: list[Attempt], failure: str) -> None:
    """It is blocked only where every address is."""
    ending = _after_all(got)
    assert ending.failure
    assert ending.failure.failure_class == failure


def test_after__remembers_who_has_it_through_waits_and_retries() -> None:
    """Only addresses that have it are done; a wait is no attempt, a failure is one."""
    endings = _endings()
    for other, attempts in ((BUSY, 1), (FULL, 0)):
        ending = _after(endings, a=DELIVERED, b=other)
        assert isinstance(ending.outcome, RetryLater)
        route = decode_route(ending.outcome.state)
        assert (route.done, route.attempts) == (("a",), attempts)


@pytest.mark.parametrize("answer", [SILENT, UNREACHABLE, BUSY], ids=["open", "unsent", "answered"])
def test_at_most_once__repeats_only_what_cannot_have_arrived(answer: Attempt) -> None:
    """Without an answer it may have arrived; refused connections and answers leave no doubt."""
    ending = _after(_endings(delivery="at_most_once"), a=answer)
    if answer is SILENT:
        assert ending.failure
        assert ending.failure.failure_class == "delivery_unknown"
    else:
        assert isinstance(ending.outcome, RetryLater)


def test_max_late__ends_what_waits_for_a_host_that_rests() -> None:
    """A host that has enough is waited for all the same: it lives."""
    endings, late = _endings(max_late_ms=1000), _due(Route(Status.PENDING, NOW - 1001, NOW))
    ending = _after(endings, late, a=RESTS)
    assert ending.failure
    assert ending.failure.failure_class == "endpoint_down"
    assert isinstance(_after(endings, late, a=FULL).outcome, Release)
    assert isinstance(_after(endings, a=RESTS).outcome, Release)


def test_late__counts_from_the_first_attempt_of_this_generation() -> None:
    """A retry is due later, and a replay begins again."""
    failure = Failure("delivery_failed", "x")
    first = decode_route(Route(Status.PENDING, NOW - 9000, NOW - 9000).failed("w", failure))
    failed = first._replace(at_ms=NOW - 8000, due_at_ms=NOW)
    history = tuple(replace(line, at_ms=NOW - 8000) for line in failed.history)
    assert _due(failed._replace(history=history)).late_ms == 8000
    assert _due(Route(Status.PENDING, NOW - 5, NOW)).late_ms == 5


def test_expiry__before_the_retry_ends_it_now() -> None:
    """With an address that has it, it was delivered; else it expired."""
    endings, due = _endings(), _due(expires_at_ms=NOW + 100)
    assert isinstance(_after(endings, due, a=BUSY).outcome, Expire)
    assert isinstance(_after(endings, due, a=DELIVERED, b=BUSY).outcome, Deliver)
    done = _due(Route(Status.FAILED, NOW, NOW, attempts=1, done=("a",)), expires_at_ms=NOW + 100)
    assert isinstance(_after(endings, done, b=BUSY).outcome, Deliver)
    replayed = _due(Route(Status.PENDING, NOW, NOW, 2), expires_at_ms=NOW + 100)
    assert isinstance(_after(endings, replayed, a=BUSY).outcome, RetryLater)


def test_expired__of_a_delayed_channel_is_skipped() -> None:
    """It was never late for its due time: the delay is longer than it is valid."""
    assert isinstance(_endings(delay_ms=1000).expired(_due()).outcome, Skip)
    assert isinstance(_endings().expired(_due()).outcome, Expire)


def test_skipped__what_one_address_has_is_delivered() -> None:
    """A reason not to send it to the others does not undo that."""
    done = _due(Route(Status.FAILED, NOW, NOW, attempts=1, done=("a",)))
    for ending in (_endings().skipped(done, "read"), _endings().expired(done)):
        assert isinstance(ending.outcome, Deliver)
    assert isinstance(_endings().skipped(_due(), "read").outcome, Skip)


def test_reload__is_seen_by_the_next_ending() -> None:
    """After SIGHUP other bounds hold, without a restart."""
    section = channel_sections()
    publisher = publisher_state(settings_from(section))
    endings = Endings("mine", publisher)
    changed = settings_from(
        section | {"retry": {"backoff_min_ms": 7, "backoff_max_ms": 7, "jitter": "none"}}
    )
    publisher.reload(changed, publisher.policy)
    outcome = _after(endings, a=BUSY).outcome
    assert isinstance(outcome, RetryLater)
    assert outcome.delay_ms == 7
