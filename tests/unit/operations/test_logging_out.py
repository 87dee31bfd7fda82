"""A logout is remembered for longer than any token that it voids is valid."""

from __future__ import annotations

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.operations.logging_out import KEPT_MS
from galaxy_notify.realtime.tokens import LIFETIME_S
from galaxy_notify.settings import settings_from

_MOST_LEEWAY_MS = 300_000


def test_logout__is_kept_for_as_long_as_any_token_is_valid() -> None:
    """The leeway counts twice: a token may be longer by it, and is valid for it after its end."""
    settings_from({"realtime": {"jwt_leeway_ms": _MOST_LEEWAY_MS}})
    with pytest.raises(ConfigurationError):
        settings_from({"realtime": {"jwt_leeway_ms": _MOST_LEEWAY_MS + 1}})
    assert KEPT_MS >= LIFETIME_S * 1000 + 2 * _MOST_LEEWAY_MS
