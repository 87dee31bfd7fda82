"""The fault matrix: its rows, which tests belong to which, and the table of their results."""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "matrix.toml"
OWN = "tests/faults"
# In the name of the test, or of its parameter; what a parameter quotes does not count.
_OWN_ROW = re.compile(r"[^\[]*?(?:::test_|\[)row(\d\d|[dpe]\d+)_")
_ROAD = re.compile(r"[\[-](script|leased|both)(?=[\]-])")
#: What each invariant says.
INVARIANTS = {
    "I1": "an accepted route is never lost",
    "I2": "each route is published once for each generation, event and state in one step",
    "I3": "no route is published before it is due by the server's clock",
    "I4": "the published content is the accepted content",
    "I5": "only the holder of a lease settles a route; one script publishes what needs no lease",
    "I6": "a dead daemon delays its routes no longer than its leases last",
    "I7": "a dead letter records the reason, the time and the worker of its failure, within bounds",
    "I8": "a replay creates one new generation, however often it is repeated",
    "I9": "a fault of Redis or of the network costs no attempt",
    "I10": "a daemon survives every fault of Redis and of the network, and continues",
    "I11": "memory and file descriptors stay bounded",
    "I12": "each line of the log is one JSON object, without secrets",
    "I13": "an outage costs at most two connections a second for each daemon, and a few log lines",
    "I14": "indexes and states agree",
}


@dataclass
class Row:
    """One fault: what must hold, and what shows it.

    Faults of delivery to clients have a letter before the number, ``D1``, those of the feed ``P1``,
    those of external channels ``E1``.
    """

    number: int | str
    fault: str
    holds: str
    tests: list[str] = field(default_factory=list)
    elsewhere: str = ""
    reason: str = ""

    @property
    def mark(self) -> str:
        """The number as names of tests have it."""
        return self.number.lower() if isinstance(self.number, str) else f"{self.number:02}"


def rows() -> list[Row]:
    """Read the matrix."""
    return [Row(**row) for row in tomllib.loads(TABLE.read_text())["row"]]


def named_tests() -> list[str]:
    """Return what the matrix names outside of its own folder, each file or test once."""
    return sorted({test for row in rows() for test in row.tests})


@dataclass
class Results:
    """A plugin that takes down what became of every test, and to which row that belongs."""

    outcomes: dict[str, str] = field(default_factory=dict)
    figures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the worst that was reported of a test."""
        self.seconds += report.duration
        speaks = report.when == "call" or report.outcome != "passed"
        if speaks and self.outcomes.get(report.nodeid) != "failed":
            self.outcomes[report.nodeid] = report.outcome
        if report.when == "teardown":
            told = [value for name, value in report.user_properties if name == "figures"]
            self.figures[report.nodeid] = [text for texts in told for text in _texts(texts)]

    def of(self, row: Row) -> list[str]:
        """Return the tests of a row that were run."""
        return [nodeid for nodeid in self.outcomes if belongs(nodeid, row)]

    def table(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield "| # | fault | what holds | roads | tests | result |"
        yield "|---|---|---|---|---|---|"
        for row in rows():
            told = (self._roads(row), self._tests(row), self._result(row))
            yield f"| {' | '.join((str(row.number), row.fault, row.holds, *told))} |"

    def figures_of(self, row: Row) -> Iterator[str]:
        """Yield the figures that a row's tests told."""
        for nodeid in self.of(row):
            name = nodeid.rpartition("::")[2]
            yield from (f"`{name}`: {text}" for text in self.figures[nodeid])

    def _roads(self, row: Row) -> str:
        """Return the roads on which tests of the row say that they published."""
        return ", ".join(
            sorted({road for nodeid in self.of(row) for road in _ROAD.findall(nodeid)})
        )

    def _tests(self, row: Row) -> str:
        own = sorted({_place(nodeid) for nodeid in self.of(row) if nodeid.startswith(OWN)})
        shown = [f"`{name}`" for name in [*own, *map(_short, row.tests)]]
        return ", ".join(shown + [row.elsewhere] * bool(row.elsewhere))

    def _result(self, row: Row) -> str:
        counts = Counter(self.outcomes[nodeid] for nodeid in self.of(row))
        told = [f"{number} {outcome}" for outcome, number in counts.items()]
        return ", ".join(told) or row.reason or ("elsewhere" if row.elsewhere else "not run")


def belongs(nodeid: str, row: Row) -> bool:
    """Tell whether a test shows a row."""
    if nodeid.startswith(f"{OWN}/"):
        found = _OWN_ROW.match(nodeid)
        return found is not None and row.mark == found[1]
    return any(re.match(rf"{re.escape(test)}(?:::|\[|$)", nodeid) for test in row.tests)


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []


def _place(nodeid: str) -> str:
    return _short(nodeid.partition("[")[0])


def _short(nodeid: str) -> str:
    path, _, name = nodeid.partition("::")
    return name or path.removeprefix("tests/")


def document(results: Results, about: Sequence[tuple[str, str]]) -> str:
    """Return the matrix as a document."""
    lines = [
        "# The fault matrix",
        "",
        "The injected faults, the invariants that must hold, and the tests that show it. Written",
        "by `make test-faults ARGS=--write-matrix`, which runs all of it; the quick tests run in",
        "`make test` as well. `GN_SEED` with the number below repeats what the run drew.",
        "",
        "A route is published over one of two roads: by one `script` without a lease, or `leased`,",
        "by claim and settle. On `both`, daemons of the two share a deployment.",
        "",
        *(f"- {name}: {value}" for name, value in about),
        "",
        "| | what holds |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in INVARIANTS.items()),
        "",
        "## Results",
        "",
        *results.table(),
        "",
        "## Figures",
        "",
        "Counts from the tests that keep a journal and a history. Times are those of this run.",
        "",
    ]
    for row in rows():
        lines += [f"- {row.number}: {text}" for text in results.figures_of(row)]
    return "\n".join(lines) + "\n"
