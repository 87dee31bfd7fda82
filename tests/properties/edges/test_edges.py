"""Random observations of an edge, some sent again, compared with a small model of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from galaxy_notify.redis_client.scripts import Script, script
from galaxy_notify.redis_state.edges import Zone, edge_fire, read_fired
from tests.properties.model.support.mutations import Mutation, mutant
from tests.scripts.support.shard import NOW, Shard, shard_on
from tests.support.servers import Server
from tests.support.suite import examples

COOLDOWN_MS = 100


#: Of the script, what it says and what it could say by mistake.
DEFECTS = [
    ("if place then return", "if false then return"),
    ("edge[1] == 'b' or", "true or"),
    ("zone == 'below' and edge[1] == 'a'", "zone ~= 'above' and edge[1] == 'a'"),
    (">= cooldown", "> cooldown"),
    ("local fires = zone == 'above' and", "local fires ="),
    ("(fires and digits(now) or edge[2])", "digits(now)"),
    ("(fires and '1' or '0')", "'1'"),
    ("sub(1, (MOST - 1) * ENTRY)", "sub(1, 0)"),
]


class Step(NamedTuple):
    """A call *after_ms* of the one before; or, where it *repeats*, one of the last calls again."""

    zone: Zone
    after_ms: int
    cooldown_ms: int
    repeats: int | None


_STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(Zone),
        st.sampled_from([0, 1, COOLDOWN_MS - 1, COOLDOWN_MS, 10 * COOLDOWN_MS]),
        st.sampled_from([0, COOLDOWN_MS]),
        st.none() | st.integers(0, 5),
    ),
    max_size=40,
)


class Model:
    """An edge as its documentation describes it."""

    def __init__(self) -> None:
        self.is_above = False
        self.fired_ms = -(10**9)
        self.moved: dict[str, bool] = {}

    def answer(self, call_id: str, step: Step, at_ms: int) -> bool:
        """Return whether a call fires."""
        if call_id in self.moved:
            return self.moved[call_id]
        goes_above = step.zone is Zone.ABOVE and not self.is_above
        if not goes_above and not (step.zone is Zone.BELOW and self.is_above):
            return False
        self.is_above = goes_above
        fires = goes_above and at_ms - self.fired_ms >= step.cooldown_ms
        if fires:
            self.fired_ms = at_ms
        self.moved[call_id] = fires
        return fires


@pytest.fixture
def shard(server: Server) -> Iterator[Shard]:
    """Give an empty shard."""
    with shard_on(server) as found:
        yield found


def _compare(shard: Shard, number: int, made: Script, **options: Any) -> None:
    """Run random steps on the script and on the model; raise where they differ."""

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        **options,
    )
    @given(steps=_STEPS)
    def compare(steps: list[Step]) -> None:
        shard.client.delete(shard.keys.edge("k"))
        model, calls, at_ms = Model(), list[tuple[str, Step]](), NOW
        for place, step in enumerate(steps):
            at_ms += step.after_ms
            if step.repeats is None or step.repeats >= len(calls):
                calls.append((f"{place:016x}", step))
                asked = calls[-1]
            else:
                asked = calls[-1 - step.repeats]
            call_id, once = asked
            call = edge_fire(shard.keys, "k", once.zone, once.cooldown_ms, call_id)
            shard.now = at_ms
            found = read_fired(shard.run(call._replace(script=made)))
            assert found is model.answer(call_id, once, at_ms)

    compare()


def test_edge__does_what_its_model_does(shard: Shard) -> None:
    """Whatever comes, in whichever order, and however often."""
    _compare(shard, examples(60, 600), script("edge_fire"))


@pytest.mark.parametrize(("text", "instead"), DEFECTS)
def test_model__finds_defects(shard: Shard, text: str, instead: str) -> None:
    """Each is found by the same examples each time."""
    made = mutant(Mutation("edge_fire", text, instead))["edge_fire"]
    with pytest.raises(AssertionError):
        _compare(shard, 300, made, derandomize=True, phases=[Phase.generate])
