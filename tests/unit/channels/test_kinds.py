"""From the section of a channel to what sends for it."""

from __future__ import annotations

import sys

import pytest
import redis.asyncio

from galaxy_notify.channels.apprise_kind import AppriseKind
from galaxy_notify.channels.kinds import open_kind
from galaxy_notify.channels.log_kind import LogKind
from galaxy_notify.channels.own_kind import OwnKind
from galaxy_notify.channels.webhook_kind import WebhookKind
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import Settings, settings_from

KINDS = {"audit": "log", "mine": "tests.support.own_channels:send", "hook": "webhook"}
CLIENT = redis.asyncio.Redis(port=1)
KEY_SPACE = KeySpace("gn", SharedSettings())


def test_open_kind__of_apprise() -> None:
    """With its URLs; one that is invalid is refused."""
    for url, is_valid in (("json://localhost", True), ("nope://localhost", False)):
        channel = {"kind": "apprise", "urls": [url]}
        given = settings_from({"worker": {"channels": ["ops"]}, "channels": {"ops": channel}})
        if is_valid:
            assert isinstance(open_kind("ops", given, CLIENT, KEY_SPACE), AppriseKind)
        else:
            with pytest.raises(ConfigurationError, match=r"^channels\.ops\.urls\[0\]: not the URL"):
                open_kind("ops", given, CLIENT, KEY_SPACE)


def settings(**kinds: str) -> Settings:
    """Return settings with these channels."""
    sections = {name: {"kind": kind} for name, kind in kinds.items()}
    return settings_from({"worker": {"channels": [*kinds]}, "channels": sections})


def test_open_kind__is_that_of_the_section() -> None:
    """One for each kind of settings."""
    given = settings(**KINDS)
    assert isinstance(open_kind("audit", given, CLIENT, KEY_SPACE), LogKind)
    assert isinstance(open_kind("mine", given, CLIENT, KEY_SPACE), OwnKind)
    assert isinstance(open_kind("hook", given, CLIENT, KEY_SPACE), WebhookKind)


def test_open_kind__refuses_a_function_that_cannot_be_used() -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=r"channels\.mine\.kind: cannot load"):
        open_kind("mine", settings(mine="tests.support.own_channels:missing"), CLIENT, KEY_SPACE)


def test_open_kind__names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without it can publish, and not send."""
    for name in [name for name in sys.modules if name.startswith("galaxy_notify.channels.")]:
        if name != "galaxy_notify.channels.kinds":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(ConfigurationError, match=r"galaxy-notify\[channels\]"):
        open_kind("audit", settings(**KINDS), CLIENT, KEY_SPACE)
