"""Every call of every script refused in turn: nothing is lost, nothing goes out twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.scripts import ScriptCall, names, script
from tests.scripts.support.injection import Injected, refuse_all, refuse_nth
from tests.scripts.support.invariants import assert_at_rest, assert_consistent, converge
from tests.scripts.support.scenarios import SCENARIOS
from tests.scripts.support.shard import Shard, shard_on
from tests.scripts.support.snapshot import snapshot
from tests.support.servers import Server

Refuse = Callable[[Shard, ScriptCall], Injected]
#: Keys of which a script that ends in an error may have written: none holds the state of a route.
_SCRATCH = {
    "route_claim": ("leases:push", "abandoned:push", "schedule:push"),
    "event_ack": ("seen:gateway",),
    "feed_attend": ("feed_writers",),
    "feed_ack": ("feed_backlog",),
    "cooldown_reserve": tuple(f"cooldown:chat:u{n}" for n in range(1, 7)),
    "collapse_record": tuple(f"newest:ab:u{n}" for n in range(1, 5)),
}
#: Commands whose loss costs a count or leaves a key that fsck finds, but never a route. A member
#: without a record that cannot leave the schedule is given up, and counted, once more.
_COUNTERS = {"HINCRBY", "PEXPIRE", "ZREM", "ZREMRANGEBYSCORE"}


def test_scenarios__cover_every_script() -> None:
    """A new script cannot do without a scenario, and so not without this file."""
    assert {name.split()[0] for name in SCENARIOS} == set(names())


def _again(shard: Shard, call: ScriptCall) -> None:
    """Send the call again, as a worker that lost its answer might."""
    try:
        shard.run(call)
    except RedisFault as error:
        pytest.fail(f"the second run failed: {error}")


def _scratch(shard: Shard, name: str) -> tuple[str, ...]:
    return tuple(shard.keys.tag + key for key in _SCRATCH.get(name.split()[0], ()))


def _check(shard: Shard, name: str, call: ScriptCall, before: object, injected: Injected) -> None:
    """Assert that the state is sound now, after the same call again, and once all is done."""
    # An event of a notification that vanished meanwhile, and cannot be taken back, stays.
    undone = injected.command != "XDEL"
    assert_consistent(shard, undone=undone)
    if injected.failed:
        assert snapshot(shard, without=_scratch(shard, name)) == before
    _again(shard, call)
    assert_consistent(shard, undone=undone)
    converge(shard)
    assert_at_rest(shard, exact=injected.command not in _COUNTERS, undone=undone)


def _try(server: Server, name: str, refuse: Refuse) -> bool:
    """Run a scenario with something refused; tell whether anything was."""
    server.flush()
    with shard_on(server) as shard:
        call = SCENARIOS[name](shard)
        before = snapshot(shard, without=_scratch(shard, name))
        injected = refuse(shard, call)
        try:
            _check(shard, name, call, before, injected)
        except AssertionError as error:
            raise AssertionError(f"{injected.command} was refused: {injected.reply}") from error
        return bool(injected.command)


@pytest.mark.parametrize("name", SCENARIOS)
def test_refused_call__breaks_nothing(name: str, any_server: Server) -> None:
    """Whichever call is refused, the state stays sound and the next run comes to rest."""
    number = 1
    while _try(any_server, name, partial(refuse_nth, number=number)):
        number += 1
    assert number > 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_refused_command__breaks_nothing(name: str, any_server: Server) -> None:
    """A command that Redis takes away from us for a while costs no route and doubles none."""
    source = script(name.split()[0]).source
    commands = set(re.findall(r"(?:call|try)\('([A-Z]+)'", source))
    refused = {
        command
        for command in commands
        if _try(any_server, name, partial(refuse_all, command=command))
    }
    assert refused
