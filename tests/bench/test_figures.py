"""What the benchmarks make of their figures: ratios, verdicts, guards, plots."""

from __future__ import annotations

import json
from xml.dom import minidom

import pytest

from tests.bench.figures import Figure, Figures, percentile, ratio
from tests.bench.load import Load
from tests.bench.registry import WORKLOADS
from tests.bench.svg import bars
from tests.bench.target import Target
from tests.bench.targets import TARGETS
from tests.bench.texts import texts
from tests.bench.verdicts import Verdict, judge


def test_ratio__pairs_the_runs() -> None:
    """A machine that was slow for one run slows both sides of its ratio."""
    over, under = Figure("a", "/s", [10, 4, 30]), Figure("b", "/s", [5, 2, 15])
    assert ratio(over, under) == 2
    assert ratio(Figure("a", "/s", [8, 10]), under) == 9 / 5


def test_percentile__is_a_value_that_was_measured() -> None:
    """The share that is asked for does not exceed it."""
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.999) == 3


def test_figures__survive_being_stored() -> None:
    """What is read back equals what was written."""
    figures = Figures()
    for value in (1.0, 3.0):
        figures.add("rate", value, "/s")
    figures.note("said once")
    figures.note("said once")
    again = Figures.from_json(json.loads(json.dumps(figures.as_json())))
    assert [*again] == [*figures]
    assert again.notes == ["said once"]


@pytest.mark.parametrize(
    ("value", "at_least", "met"), [(5, True, True), (4, True, False), (4, False, True)]
)
def test_verdict__compares_with_the_bound(value: float, at_least: bool, met: bool) -> None:
    """A bound is met from its own side."""
    target = Target("t", "drain", "rate", 5, at_least=at_least)
    assert Verdict(target, value).met is met


def test_judge__says_what_was_not_measured() -> None:
    """A target without figures is neither met nor missed, and a workload can meet each."""
    assert {verdict.met for verdict in judge({}, {})} == {None}
    assert {target.workload for target in TARGETS} <= {workload.name for workload in WORKLOADS}


def test_judge__counts_only_the_commit_that_a_target_names() -> None:
    """A multiple of one commit is no answer where another one was measured."""
    target = next(target for target in TARGETS if target.base)
    values = {target.figure: 9.0, target.under: 1.0}
    figures = Figures([Figure(name, "/s", [value]) for name, value in values.items()])
    for base, value in ((f"{target.base}12345", 9.0), ("0123456", None), ("", None)):
        verdicts = judge({target.workload: figures}, {target.workload: base})
        assert {v.value for v in verdicts if v.target == target} == {value}


def test_verdict__without_a_bound_is_only_reported() -> None:
    """Nobody asked for more, so nothing is missed."""
    verdict = Verdict(Target("t", "drain", "rate", None), 5)
    assert (verdict.met, verdict.asked, verdict.got, verdict.word) == (None, "reported", "5 ×", "–")


def test_workloads__explain_themselves() -> None:
    """Each has a text for the page."""
    assert all(workload.text() for workload in WORKLOADS if workload.name != "peers")


def test_bars__is_a_drawing() -> None:
    """Names are escaped, and the drawing is sound XML."""
    drawn = bars("a & b", [Figure("<1 %", "ms", [0.0, 2.0]), Figure("none", "ms", [0.0])])
    assert minidom.parseString(drawn).documentElement is not None


def test_texts__differ_and_have_the_size() -> None:
    """Texts are varied, as those of people are."""
    assert {len(text.encode()) for text in texts(200)} == {200}
    assert len(set(texts(200))) > 200


def test_load__spreads_due_times_evenly() -> None:
    """Two processes share a load without a gap, and each recipient names its due time."""
    due = 1_900_000_000_000
    halves = [Load(10, due_ms=due, span_ms=1000, first=n, step=2) for n in range(2)]
    intents = [intent for half in halves for intent in half.intents()]
    assert sorted(i.due_at_ms for i in intents if i.due_at_ms) == [*range(due, due + 1000, 100)]
    assert all(i.recipients == (f"user-{i.due_at_ms}",) for i in intents)
