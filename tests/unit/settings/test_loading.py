"""Secrets among the settings: read from credentials, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_notify.settings import load_settings
from tests.support.settings import problems, written


def test_credential__is_read_again(tmp_path: Path) -> None:
    """A password from a credential is read anew, so that it can be renewed under a daemon."""
    path = tmp_path / "redis__password"
    written(path, "old\n")
    redis = load_settings(None, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).redis
    assert redis.password_file == path
    assert redis.current_password() == "old"
    written(path, "new\n")
    assert redis.current_password() == "new"
    path.unlink()
    assert redis.current_password() == "old"


def test_credential__file_is_no_setting(tmp_path: Path) -> None:
    """Nobody can name a password file from outside, and no other settings have one."""
    assert "unknown setting" in problems(None, GALAXY_NOTIFY_REDIS__PASSWORD_FILE="/x")[0]
    environ = {"GALAXY_NOTIFY_REDIS__PASSWORD": "x", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_settings(None, environ=environ).redis.password_file is None
    assert load_settings(None, environ={}).redis.current_password() is None


def test_credential__must_be_readable(tmp_path: Path) -> None:
    """A missing directory, and a credential that is no text, are told."""
    (line,) = problems(None, CREDENTIALS_DIRECTORY=str(tmp_path / "none"))
    assert line.endswith("($CREDENTIALS_DIRECTORY): cannot be read: No such file or directory")
    written(tmp_path / "redis__password", b"\xff")
    (tmp_path / "redis__username").mkdir()
    assert problems(None, CREDENTIALS_DIRECTORY=str(tmp_path)) == [
        f"redis.password: must be UTF-8 text (from {tmp_path}/redis__password)",
        f"redis.username: cannot be read: Is a directory (from {tmp_path}/redis__username)",
    ]


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://u:{SECRET}@h:1/0", "redis://u:********@h:1/0"),
        (f"redis://:{SECRET}@[::1]:1", "redis://:********@[::1]:1"),
        (f"redis://h/0?password={SECRET}&db=1", "redis://h/0?password=********&db=1"),
        (f"unix://:{SECRET}@/run/a.sock?db=1", "unix://:********@/run/a.sock?db=1"),
        ("unix:///run/a.sock", "unix:///run/a.sock"),
        ("redis://u@h", "redis://u@h"),
        ("embedded", "embedded"),
    ],
)
def test_secrets__are_masked(url: str, shown: str) -> None:
    """No password is in what is shown, nor in the settings' own representation."""
    environ = {"GALAXY_NOTIFY_REDIS__URL": url}
    environ["GALAXY_NOTIFY_REDIS__PASSWORD"] = environ["GALAXY_NOTIFY_REDIS__SENTINEL_PASSWORD"] = (
        SECRET
    )
    settings = load_settings(None, environ=environ)
    masked = settings.masked()["redis"]
    assert masked["url"] == shown
    assert masked["password"] == masked["sentinel_password"] == "********"
    assert settings.redis.url == url
    assert SECRET not in repr(settings) + str(settings) + str(settings.masked())


@pytest.mark.parametrize(
    "toml",
    [
        f'url = "http://u:{SECRET}@h"',
        f'url = "u:{SECRET}@h"',
        f'url = "redis://:{SECRET}/x@h"',
        f'url = "redis://:{SECRET}\\n@h"',
        f'url = ["{SECRET}"]',
        f'password = ["{SECRET}"]',
        "password = 73313",
        f'sentinel_password = {{ a = "{SECRET}" }}',
    ],
)
def test_secrets__are_in_no_problem(tmp_path: Path, toml: str) -> None:
    """What is wrong with a secret is told without it."""
    (line,) = problems(written(tmp_path / "a.toml", f"[redis]\n{toml}\n"))
    assert line.startswith("redis.")
    assert SECRET not in line
    assert "73313" not in line
