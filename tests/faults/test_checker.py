"""The checker itself: a sound history passes, and each lie about it is caught."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest

from galaxy_notify.model.route import Route, Status, decode_route
from tests.faults.conftest import NewFaultRun
from tests.faults.support import forged
from tests.faults.support.aof import Transition, packed, transitions
from tests.faults.support.checker import check
from tests.faults.support.forged import (
    DUE,
    ID,
    MEMBER,
    Case,
    abandon,
    accept,
    claim,
    dead_lettered,
    event,
    fence,
    leave,
    publish,
    publish_unleased,
    published,
    write,
)
from tests.faults.support.history import History, history_of

OTHER = "host-2-ffff:0:30000:22"
SOUND = [accept(), claim(), publish()]
REPLAYED = forged.state(decode_route(dead_lettered()).replayed("me"))
RETRIED = forged.state(decode_route(forged.PENDING).failed(forged.WORKER, forged.FAILURE))
AGAIN = [write(REPLAYED), (b"ZADD", b"{gn:0}:schedule:push", b"%d" % DUE, MEMBER.encode())]
PUBLISHED_AGAIN = forged.state(decode_route(REPLAYED).published(forged.WORKER)) + b"%d-0" % DUE
PUBLISH_AGAIN = [event(event_id=f"{MEMBER}#2"), write(PUBLISHED_AGAIN), leave()]
SKIPS_ONE = forged.state(decode_route(dead_lettered())._replace(generation=2).replayed("me"))


def read(*told: Transition) -> History:
    """Follow a history that went through a file."""
    return History().read(transitions(packed(*told)))


def test_history__that_is_sound_passes() -> None:
    """Accept, claim and publish break nothing; so do a retry, a burial and a replay."""
    assert read(*SOUND).violations == []
    history = read(accept(), claim(), [fence(), write(dead_lettered()), leave()], AGAIN)
    assert history.violations == []


UNLEASED: dict[str, tuple[list[str], list[Transition]]] = {
    "plain": ([], [accept(), publish_unleased()]),
    "replayed": (
        [],
        [accept(), claim(), [fence(), write(dead_lettered()), leave()], AGAIN, PUBLISH_AGAIN],
    ),
    "under a lease": (["I5"], [accept(), claim(), publish_unleased()]),
    "attempted": (["I9", "I5"], [accept(), claim(), [fence(), write(RETRIED)], publish_unleased()]),
    "abandoned": (["I5"], [accept(), [abandon()], publish_unleased()]),
    "still scheduled": (["I14"], [accept(), publish_unleased()[:-1]]),
    "twice": (["I2"], [accept(), publish_unleased(), publish_unleased()]),
    "early": (["I3"], [accept(), publish(f"{DUE - 1}-0")]),
}


@pytest.mark.parametrize("name", UNLEASED)
def test_history__allows_one_script_to_publish_plain_routes(name: str) -> None:
    """Without a lease only what was never attempted, taken or abandoned, and in one step."""
    broken, told = UNLEASED[name]
    history = History(needs_lease=False).read(transitions(packed(*told)))
    assert [violation.invariant for violation in history.violations] == broken
    assert "I5" in {violation.invariant for violation in read(*told).violations}


def test_history__undone_events_do_not_count() -> None:
    """An event that is taken back in the step that added it was never there."""
    undone = [event(), fence(), (b"XDEL", b"{gn:0}:client-events", f"{DUE}-0".encode())]
    history = read(accept(), claim(), undone, claim(OTHER, b"1900000090000.5"))
    assert history.violations == []
    assert history.abandoned == 1


def test_history__tells_how_long_a_route_was_free() -> None:
    """Its wait counts from its due time, or from when the lease of a dead worker lapsed."""
    late = f"{DUE + 31_000}-0"
    assert read(accept(), claim(), publish(f"{DUE + 700}-0")).slowest_ms == 700
    taken_over = [claim(OTHER, b"1900000060700.5"), publish(late, OTHER)]
    history = read(accept(), claim(), *taken_over)
    assert (history.slowest_ms, history.slowest_takeover_ms) == (999, 700)


LIES: dict[str, tuple[str, list[Transition]]] = {
    "an event twice": ("I2", [*SOUND, [event(f"{DUE}-1")]]),
    "published twice": ("I2", [*SOUND, claim(OTHER), publish(f"{DUE}-1", OTHER)]),
    "a state without its event": ("I2", [accept(), claim(), publish()[1:]]),
    "an event without its state": ("I2", [accept(), claim(), [event(), fence(), leave()]]),
    "an event of another route": (
        "I2",
        [accept(), claim(), [event(event_id=f"{ID}/push:u2"), *publish()[1:]]],
    ),
    "event and state apart": ("I2", [accept(), claim(), [event()], publish()[1:]]),
    "an event before its due time": ("I3", [accept(), claim(), publish(f"{DUE - 1}-0")]),
    "a settle without a lease": ("I5", [accept(), publish()]),
    "a settle under another's lease": (
        "I5",
        [accept(), claim(), [*publish()[:2], write(published(f"{DUE}-0", "host-9")), leave()]],
    ),
    "a settle that keeps its lease": ("I5", [accept(), claim(), [event(), *publish()[2:]]]),
    "a settle after another claimed": (
        "I5",
        [accept(), claim(), claim(OTHER, b"1900000090000.5"), publish()],
    ),
    "a claim of what another holds": (
        "I5",
        [accept(), claim(), claim(OTHER, b"1900000050000.5")],
    ),
    "a claim before its time": ("I3", [accept(), claim(lapses=b"1900000029000.5")]),
    "a dead letter without a reason": (
        "I7",
        [accept(), claim(), [fence(), write(dead_lettered("", attempt=False)), leave()]],
    ),
    "a generation left out": (
        "I8",
        [accept(), claim(), [fence(), write(dead_lettered()), leave()], [write(SKIPS_ONE)]],
    ),
    "an attempt spent on an outage": (
        "I9",
        [accept(), claim(), [fence(), write(dead_lettered("lease_abandoned")), leave()]],
    ),
    "a route that rises from the dead": ("I2", [*SOUND, [write(forged.PENDING)]]),
}


@pytest.mark.parametrize("lie", LIES)
def test_history__lie_is_caught(lie: str) -> None:
    """Each transition that no deployment may make is told as what it breaks."""
    invariant, told = LIES[lie]
    found = read(*told).violations
    assert invariant in {violation.invariant for violation in found}, found


def test_history__cut_short_ends_there() -> None:
    """What a crash left of the last transition has not happened, wherever it was cut."""
    whole = packed(*SOUND)
    before = packed(*SOUND[:-1])
    for end in range(len(before), len(whole)):
        assert len(list(transitions(whole[:end]))) == 2
    assert len(list(transitions(whole))) == 3


def _lost(case: Case) -> None:
    case.rest.routes.clear()
    case.rest.entries.clear()


def _doubled(case: Case) -> None:
    case.rest.entries.append(case.entry(stream_id=b"1900000000001-0"))


def _early(case: Case) -> None:
    route = decode_route(published(f"{DUE - 5}-0"))
    case.rest.routes[MEMBER] = route._replace(due_at_ms=DUE - 5)
    case.rest.entries[:] = [case.entry(stream_id=f"{DUE - 5}-0".encode())]


def _altered(case: Case) -> None:
    payload = forged.PAYLOAD | {"data": {"n": 2}}
    case.rest.entries[:] = [case.entry(payload_bytes=msgpack.packb(payload))]


def _without_entry(case: Case) -> None:
    case.rest.entries.clear()


def _other_entry(case: Case) -> None:
    case.rest.entries[:] = [case.entry(stream_id=b"1900000000009-0")]


def _stranger(case: Case) -> None:
    case.rest.entries.append(case.entry(event_id=f"{'9' * 32}/push:u1".encode()))


def _without_state(case: Case) -> None:
    case.rest.routes.clear()


def _dangling(case: Case) -> None:
    case.rest.scheduled.add(f"{ID}/push:gone")


def _forgotten(case: Case) -> None:
    case.rest.routes[MEMBER] = Route(Status.PENDING, DUE, DUE)
    case.rest.entries.clear()


def _unlisted(case: Case) -> None:
    case.rest.routes[MEMBER] = decode_route(dead_lettered())
    case.rest.entries.clear()


def _not_cancelled(case: Case) -> None:
    case.journal.promises[ID].cancelled = 1


def _cancelled_by_nobody(case: Case) -> None:
    case.rest.routes[MEMBER] = Route(Status.CANCELLED, DUE, DUE)
    case.rest.entries.clear()


def _not_replayed(case: Case) -> None:
    case.journal.replayed.add(MEMBER)


SPOILT: list[tuple[str, Callable[[Case], None]]] = [
    ("I1", _lost),
    ("I2", _doubled),
    ("I3", _early),
    ("I4", _altered),
    ("I2", _without_entry),
    ("I2", _other_entry),
    ("I2", _stranger),
    ("I2", _without_state),
    ("I14", _dangling),
    ("I14", _forgotten),
    ("I14", _unlisted),
    ("I1", _not_cancelled),
    ("I1", _cancelled_by_nobody),
    ("I8", _not_replayed),
]


def test_rest__that_is_sound_passes() -> None:
    """What was promised and what is there agree."""
    case = Case()
    assert check(case.journal, case.rest).violations == []


def test_rest__an_unanswered_route_may_be_there_or_not() -> None:
    """Where a producer heard nothing, both are right."""
    case = Case()
    case.journal.promises[ID].is_accepted = False
    assert check(case.journal, case.rest).violations == []
    _lost(case)
    assert check(case.journal, case.rest).violations == []


@pytest.mark.parametrize(("invariant", "spoil"), SPOILT, ids=[s.__name__[1:] for _, s in SPOILT])
def test_rest__spoilt_is_caught(invariant: str, spoil: Callable[[Case], None]) -> None:
    """Each difference between the promise and what is there is told as what it breaks."""
    case = Case()
    spoil(case)
    found = check(case.journal, case.rest).violations
    assert invariant in {violation.invariant for violation in found}, found


def test_history__of_a_real_server_is_read_to_its_end(any_fault_run: NewFaultRun) -> None:
    """What the file tells and what the server holds are the same, on every flavour."""
    fault_run = any_fault_run()
    fault_run.hand_in(50)
    fault_run.daemon()
    fault_run.wait_until_over()
    fault_run.server.kill()
    fault_run.server.start()
    history = history_of(fault_run.server.folder, needs_lease=fault_run.road == "leased")
    assert history.violations == []
    assert (history.unleased > 0) == (fault_run.road == "script")
    assert [*history.published] == fault_run.deployment.event_ids()
    assert fault_run.assert_kept().accepted >= 50
