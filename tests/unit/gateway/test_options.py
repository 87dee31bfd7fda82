"""What options a consumer takes."""

from __future__ import annotations

from math import inf

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.gateway import ConsumerOptions


def test_options__without_marks_and_without_a_name_to_keep() -> None:
    """What is switched off is no number that has to be greater than 0."""
    options = ConsumerOptions(marks=False, keeps_name=False, history_s=1.5)
    assert (options.history_ms, ConsumerOptions().history_ms) == (1500, None)


def test_options__handler_that_bounds_itself() -> None:
    """A limit is at most half of what others wait, or there is none."""
    assert ConsumerOptions(handler_timeout_s=inf).timeout_s == inf
    with pytest.raises(ConfigurationError, match="handler_timeout_s"):
        ConsumerOptions(handler_timeout_s=31)
    with pytest.raises(ConfigurationError, match="history_s"):
        ConsumerOptions(history_s=0)
