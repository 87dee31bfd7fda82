"""The settings of the gateway: every rule between them names the field to blame."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import settings_from

SECRET = "s3cret-" * 6
KEY = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": "users"}


@pytest.mark.parametrize(
    ("realtime", "line"),
    [
        ({"audience": "users"}, "realtime.audience: needs realtime.jwt_key too"),
        (
            {"jwt_algorithm": "HS256", "jwt_secret": SECRET},
            "realtime.audience: must be set together with realtime.jwt_secret",
        ),
        (KEY | {"jwt_secret": "short"}, "realtime.jwt_secret: must have at least 32 bytes"),
        (
            KEY | {"jwt_algorithm": "RS256"},
            "realtime.jwt_secret: does not match realtime.jwt_algorithm RS256",
        ),
        (KEY | {"jwt_key": "/no/such"}, "realtime.jwt_key: "),
        ({"port": 8080}, "realtime.port: must differ from http.port on the same host"),
        ({"serve": False, "consume": False}, "realtime.serve: must be true where"),
        ({"cookie": "session"}, "realtime.cookie: must begin with __Host-"),
        ({"bell_origins": ["*"]}, "realtime.bell_origins[0]: must be the origin of a page"),
        ({"allowed_origins": ["*"]}, "realtime.allowed_origins[0]: must be the origin of a page"),
        (
            {"allowed_origins": ["https://app.example.com/"]},
            "realtime.allowed_origins[0]: must be the origin of a page",
        ),
    ],
)
def test_rules__name_the_setting(realtime: dict[str, Any], line: str) -> None:
    """One line names the setting to blame, and no secret is in it."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"realtime": realtime}, source="here")
    first = str(error.value).splitlines()[0]
    assert first.startswith(line)
    assert SECRET not in first


def test_audience__is_not_that_of_the_api() -> None:
    """A token of a service must not open the stream of a user, nor the other way round."""
    http = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "jwt_issuer": "i"}
    with pytest.raises(ConfigurationError, match=r"realtime\.audience: must differ"):
        settings_from({"realtime": KEY, "http": http | {"jwt_audience": "users"}})
    found = settings_from({"realtime": KEY, "http": http | {"jwt_audience": "services"}})
    assert found.realtime.takes_jwt
