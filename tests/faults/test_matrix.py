"""The matrix is complete, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.support.matrix import INVARIANTS, OWN, Results, Row, belongs, named_tests, rows
from tests.support.program import ROOT


def _own_tests() -> str:
    return "".join(path.read_text() for path in (ROOT / OWN).glob("**/*.py"))


def test_matrix__has_every_row_once_and_each_is_shown() -> None:
    """A row has tests, or says where they are, or why there are none."""
    every = [*range(1, 75), *(f"D{n}" for n in range(1, 12)), *(f"P{n}" for n in range(1, 10))]
    every += [f"E{n}" for n in range(1, 12)]
    assert [row.number for row in rows()] == every
    own = _own_tests()
    shown = [row.number for row in rows() if row.tests or f"row{row.mark}_" in own]
    told = [row.number for row in rows() if row.elsewhere or row.reason]
    assert {*shown, *told} == {*every}


def test_matrix__names_tests_that_exist() -> None:
    """Whatever stands in it can be run."""
    for named in named_tests():
        path, _, name = named.partition("::")
        text = Path(ROOT / path).read_text()
        assert not name or f"def {name}(" in text, named


def test_matrix__holds_invariants_that_are_told() -> None:
    """Each number of an invariant has its sentence."""
    named = {name for row in rows() for name in re.findall(r"I\d+", row.holds)}
    assert named <= INVARIANTS.keys()


def test_matrix__knows_every_test_of_a_row() -> None:
    """A test that names a row names one that there is."""
    marks = set(re.findall(r"\brow(\d\d|[dpe]\d+)_", _own_tests()))
    assert marks <= {row.mark for row in rows()}


def test_row__of_a_letter_knows_its_tests() -> None:
    """``D1`` and ``D10`` are two rows."""
    nodeid = f"{OWN}/test_x.py::test_rowd1__failover[bundled]"
    assert [belongs(nodeid, Row(f"D{number}", "", "")) for number in (1, 10)] == [True, False]


@pytest.mark.parametrize(
    ("nodeid", "is_of_it"),
    [
        (f"{OWN}/test_x.py::test_row05__storm[bundled]", True),
        (f"{OWN}/test_x.py::test_outage__x[row05_killed]", True),
        (f"{OWN}/test_x.py::test_row50__x", False),
        (f"{OWN}/test_x.py::test_y[{OWN}/test_z.py::test_row05__z]", False),
        (f"{OWN}/test_x.py::test_y[{OWN}/test_z.py::test_z[row05_z]]", False),
        ("tests/x/test_a.py::test_b[x]", True),
        ("tests/x/test_a.py::test_b__other", False),
        ("tests/x/test_c.py::test_any", True),
    ],
)
def test_row__knows_its_tests(nodeid: str, is_of_it: bool) -> None:
    """By the number in the name of our own, by file or name for others."""
    row = Row(5, "", "", ["tests/x/test_a.py::test_b", "tests/x/test_c.py"])
    assert belongs(nodeid, row) == is_of_it


def test_table__names_the_roads_of_a_row() -> None:
    """By the parameters of its tests; a word in the name of a test is no road."""
    nodeids = [
        "test_x.py::test_row05__both[bundled-script-kill]",
        "test_x.py::test_row05__x[leased]",
    ]
    outcomes = {f"{OWN}/{nodeid}": "passed" for nodeid in nodeids}
    line = [*Results(outcomes).table()][2 + 4]
    assert "| leased, script | `test_row05__both`, `test_row05__x`" in line


def test_table__says_what_was_not_run() -> None:
    """A row without a result is no row that passed."""
    lines = [*Results().table()]
    assert len(lines) == len(rows()) + 2
    assert lines[2].endswith("| not run |")
