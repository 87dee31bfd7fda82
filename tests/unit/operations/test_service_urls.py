"""URLs of services: which are taken, and what the library may say."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from pydantic import SecretStr

from galaxy_notify.operations.service_urls import asset, opened, refused_urls
from tests.support.program import ROOT

_URLS = ("json://localhost", "nope://s3cret", "tgram://s3cret", "mailto://ann:s3cret@example.com")


def test_refused__names_places_only() -> None:
    """A line for each that is invalid."""
    why = "not the URL of a service that Apprise can notify"
    assert refused_urls("channels.ops.urls", list(map(SecretStr, _URLS))) == [
        f"channels.ops.urls[{place}]: {why}" for place in (1, 2)
    ]
    assert refused_urls("channels.ops.urls", ()) == []


def test_opened__is_one_service_each_time() -> None:
    """A text with several URLs is not one URL."""
    one = opened(SecretStr("json://localhost"))
    assert one is not None
    assert len(one) == 1
    assert opened(SecretStr("json://localhost")) is not one
    assert opened(SecretStr("json://localhost, json://example.com")) is None


def test_library__is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """It would log the URL that it refuses."""
    caplog.set_level(logging.DEBUG)
    assert opened(SecretStr("tgram://s3cret")) is None
    assert caplog.text == ""
    assert asset() is asset()


def test_load__warns_of_nothing_even_where_warnings_are_errors() -> None:
    """Packages that some services use are deprecated; that is nothing for our users."""
    program = (
        "from pydantic import SecretStr\n"
        "from galaxy_notify.operations.service_urls import refused_urls\n"
        "print(len(refused_urls('u', [SecretStr('json://localhost'), SecretStr('nope://x')])))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
