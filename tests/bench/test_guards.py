"""What `make bench-check` makes of what it measured."""

from __future__ import annotations

from tests.bench import guards
from tests.bench.figures import Figure, Figures


def _figures(ours: list[float], theirs: list[float]) -> Figures:
    return Figures(
        [
            Figure(guards.FLOOR, "routes/s", [1000.0]),
            Figure("drain", "per second", ours),
            Figure("drain, base", "per second", theirs),
        ]
    )


def test_fallen__compares_run_by_run() -> None:
    """A machine that is slow for one pair slows both, and one odd pair decides nothing."""
    assert guards.fallen(_figures([100, 10, 100], [100, 10, 100])) == []
    assert guards.fallen(_figures([100, 10, 100], [100, 100, 100])) == []
    assert guards.fallen(_figures([79, 7.9, 100], [100, 10, 100])) == ["drain"]
    assert guards.fallen(_figures([81], [100])) == []


def test_table__names_what_fell_and_the_yardstick() -> None:
    """Each row has the ratio to the other commit and to the floor of the same run."""
    _, row, floor = guards.table(_figures([50], [100]), "abc")
    assert [*row.split()][:6] == ["drain", "50", "100", "0.50", "0.050", "1"]
    assert row.endswith("FALLEN by more than a fifth")
    assert floor.split()[-1] == "1,000"
