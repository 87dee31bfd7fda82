"""Sizes as text."""

from __future__ import annotations

import pytest

from galaxy_notify.model.wording import size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (889.4, "889 B"),
        (999.6, "1.0 kB"),
        (3_460, "3.5 kB"),
        (9_960, "10 kB"),
        (999_700, "1.0 MB"),
        (3_480_000_000, "3.5 GB"),
        (70 * 10**12, "70 TB"),
        (5 * 10**16, "50,000 TB"),
    ],
)
def test_size__is_short(number: float, text: str) -> None:
    """Two or three digits and the unit, which grows as the rounded number does."""
    assert size(number) == text
