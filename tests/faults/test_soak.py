"""The soak in short: what it reports is measured, and a growth is seen."""

from __future__ import annotations

import pytest

from tests.faults.soak import Series, main


def test_series__tells_growth_from_noise() -> None:
    """The slope is that of the settled part, whatever the start took."""
    steady = Series([(t, 50.0 + 20 * (t < 10) + (t % 2)) for t in range(100)])
    assert abs(steady.slope_per_hour()) < 5
    growing = Series([(t, 50.0 + t / 3600) for t in range(100)])
    assert growing.slope_per_hour() == pytest.approx(1.0)
    assert Series().slope_per_hour() == 0.0


@pytest.mark.slow
def test_row66__soak_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A quarter of a minute of it loses nothing, and says so."""
    assert main(["--minutes", "0.25"]) == 0
    assert "lost 0, twice 0, early 0" in capsys.readouterr().out
