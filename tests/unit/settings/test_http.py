"""The settings of the HTTP API: every rule between them is told by the field to blame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import load_settings, settings_from
from tests.support.api import entry

TOKEN = entry("shop", "producer")
JWT = {"jwt_issuer": "i", "jwt_audience": "a"}
SECRET = "s3cret-" * 6


def _problems(http: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        settings_from({"http": http}, source="here")
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("http", "told"),
    [
        ({"host": "0.0.0.0"}, "http.host: must be a loopback address"),
        ({"host": "example.org"}, "http.host: must be a loopback address"),
        ({"tokens": ["shop"]}, "http.tokens: entry 1 must be NAME:SCOPE+SCOPE:SHA256"),
        ({"tokens": [TOKEN, TOKEN]}, "http.tokens: entry 2 must not name shop again"),
        ({"tokens": [entry("shop", "root")]}, "http.tokens: entry 1 has no scope 'root'"),
        ({"jwt_issuer": "i"}, "http.jwt_issuer: needs http.jwt_key"),
        ({"jwt_audience": "a"}, "http.jwt_audience: needs http.jwt_key"),
        ({"jwt_algorithm": "none"}, "http.jwt_algorithm: must be one of"),
        (JWT | {"jwt_secret": SECRET}, "http.jwt_secret: does not go with http.jwt_algorithm"),
        (JWT | {"jwt_key": "/no/such"}, "http.jwt_key: cannot read"),
        (
            JWT | {"jwt_algorithm": "HS256", "jwt_secret": "short"},
            "http.jwt_secret: must have 32 bytes or more",
        ),
        (
            {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "jwt_issuer": "i"},
            "http.jwt_audience: must be set where http.jwt_secret is",
        ),
        (
            JWT | {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "jwt_key": __file__},
            "http.jwt_key: does not go with http.jwt_algorithm HS256",
        ),
    ],
)
def test_rules__are_told_by_name(http: dict[str, Any], told: str) -> None:
    """One line names the setting to blame, and no secret is in it."""
    (line,) = _problems(http)
    assert line.startswith(told)
    assert line.endswith("(from here)")
    assert SECRET not in line
    assert "root:" not in line


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_host__of_this_machine_needs_no_token(host: str) -> None:
    """Without tokens only this machine may call."""
    settings = settings_from({"http": {"host": host}})
    assert not settings.http.is_guarded
    assert settings_from({"http": {"host": "::", "tokens": [TOKEN]}}).http.is_guarded


def test_tokens__may_be_a_credential_and_are_never_shown(tmp_path: Path) -> None:
    """Entries stand in a file of their own, with commas between them."""
    entries = [TOKEN, entry("ann", "operator+read-only")]
    (tmp_path / "http__tokens").write_text(", ".join(entries) + "\n")
    settings = load_settings(None, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert [(one.name, len(one.scopes)) for one in settings.http.clients] == [
        ("shop", 1), ("ann", 2),
    ]  # fmt: skip
    assert settings.masked()["http"]["tokens"] == ["********"] * 2
    assert TOKEN.rpartition(":")[2] not in repr(settings) + str(settings.masked())
