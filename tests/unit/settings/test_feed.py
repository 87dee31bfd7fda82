"""The settings of the feed: every rule names the setting, and no password is in what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import load_settings, settings_from

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("feed", "line"),
    [
        ({"enabled": True}, "feed.url: must be set with feed.enabled = true"),
        ({"password": SECRET}, "feed.password: needs feed.url too"),
        (
            {"url": "embedded", "password": SECRET},
            "feed.password: must not be set with feed.url embedded",
        ),
        (
            {"url": f"postgresql://u:{SECRET}@h/d", "password": SECRET},
            "feed.password: must not be set with a password in feed.url",
        ),
        ({"channels": []}, "feed.channels: needs at least one"),
        ({"batch_size": 501}, "feed.batch_size: must be at least 1 and at most 500"),
    ],
)
def test_rules__name_the_setting(feed: dict[str, Any], line: str) -> None:
    """One line names the setting to blame."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"feed": feed}, source="here")
    assert str(error.value).startswith(line)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=verify-full&sslrootcert={}",
        "sslmode=require&sslcert={}&sslkey={}",
    ],
)
def test_url__names_files_that_can_be_read(parameters: str, tmp_path: Path) -> None:
    """A certificate that is missing is found before the first connection."""
    file = tmp_path / "ca.pem"
    url = f"postgresql://u@h/d?{parameters.replace('{}', str(file))}"
    with pytest.raises(ConfigurationError) as error:
        settings_from({"feed": {"url": url}}, source="here")
    assert str(error.value).startswith(f"feed.url: cannot read {file}")
    file.write_text("")
    assert settings_from({"feed": {"url": url}}).feed.url == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://u:{SECRET}@h:1/d", "postgresql://u:********@h:1/d"),
        (
            f"postgresql://u:{SECRET}@h1:5432,h2:5433/d?target_session_attrs=read-write",
            "postgresql://u:********@h1:5432,h2:5433/d?target_session_attrs=read-write",
        ),
        (f"postgres://u:{SECRET}@[::1]:1,h2/d", "postgres://u:********@[::1]:1,h2/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("embedded", "embedded"),
        ("", ""),
    ],
)
def test_password__is_masked(url: str, shown: str) -> None:
    """No password is in what is shown, nor in the settings' own representation."""
    settings = load_settings(None, environ={"GALAXY_NOTIFY_FEED__URL": url})
    assert settings.masked()["feed"]["url"] == shown
    assert settings.feed.url == url
    assert SECRET not in repr(settings) + str(settings) + str(settings.masked())


def test_password__of_a_credential_is_read_again(tmp_path: Path) -> None:
    """A password that was changed in its file is used at the next connection."""
    (tmp_path / "feed__password").write_text("first\n")
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "GALAXY_NOTIFY_FEED__URL": "postgres://u@h/d",
    }
    feed = load_settings(None, environ=environ).feed
    assert feed.current_password() == "first"
    (tmp_path / "feed__password").write_text("second")
    assert feed.current_password() == "second"
    assert feed.password_file == tmp_path / "feed__password"
