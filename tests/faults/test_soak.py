"""The soak in short: what it reports is measured, and a growth is seen."""

from __future__ import annotations

import os

import pytest

from tests.faults.soak import Series, Witness, main

pytestmark = pytest.mark.extended


def test_series__tells_growth_from_noise() -> None:
    """The slope is that of the settled part, whatever the start took."""
    steady = Series([(t, 50.0 + 20 * (t < 10) + (t % 2)) for t in range(100)])
    assert abs(steady.slope_per_hour()) < 5
    growing = Series([(t, 50.0 + t / 3600) for t in range(100)])
    assert growing.slope_per_hour() == pytest.approx(1.0)
    assert Series().slope_per_hour() == 0.0


def test_witness__that_grew_is_told_where_the_run_was_long_enough() -> None:
    """Two megabytes an hour, or a file that stays, are too much; ten minutes do not tell."""
    for memory, files, grown in ((2, 0, True), (0, 4, True), (0.5, 0, False)):
        witness = Witness(os.getpid())
        witness.look()
        assert witness.memory.samples[0][1] > 0
        assert witness.files.samples[0][1] > 0
        witness.memory.samples = [(t, 50 + memory * t / 3600) for t in range(1800)]
        # One more now and then is a connection that comes and goes.
        witness.files.samples = [(t, 10 + files * t // 3600 + (t % 20 == 0)) for t in range(1800)]
        assert witness.has_grown(60) is grown
        assert not witness.has_grown(10)


@pytest.mark.slow
def test_row66__soak_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A quarter of a minute of it loses nothing, and says so."""
    assert main(["--minutes", "0.25"]) == 0
    assert "lost 0, twice 0, early 0" in capsys.readouterr().out
