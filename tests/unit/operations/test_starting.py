"""What a daemon refuses to start for, of its external channels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.operations.starting import check_channels
from galaxy_notify.settings import Settings, settings_from
from tests.support.contacts import key
from tests.support.settings import NEEDED, written

_APPRISE = {"kind": "apprise", "urls": ["json://localhost", "nope://host"]}


def settings(kind: str, **sections: dict[str, Any]) -> Settings:
    """Return settings with one external channel, which is served."""
    worker = {"channels": ["push", "mine"]}
    section = {"kind": kind, **NEEDED.get(kind, {}), **sections.pop("fields", {})}
    return settings_from({"worker": worker, "channels": {"mine": section}, **sections})


@pytest.mark.parametrize("kind", ["log", "email", "web_push", "tests.support.own_channels:send"])
def test_check__accepts_what_can_be_served(kind: str) -> None:
    """Nothing is missing."""
    check_channels(settings(kind, contacts={"keys": [key()]}))


@pytest.mark.parametrize("missing", ["aiosmtplib", "cryptography", "httptools", "jinja2"])
def test_check__needs_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Any kind needs it, and a daemon that serves none does not."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'galaxy-notify\[channels\]'"):
        check_channels(settings("log"))
    given = settings("log")
    worker = given.worker.model_copy(update={"serves": ("push",)})
    check_channels(given.model_copy(update={"worker": worker}))


@pytest.mark.parametrize(
    ("kind", "sections", "problem"),
    [
        ("tests.support.own_channels:missing", {"contacts": {"keys": [key()]}}, "mine.kind"),
        ("tests.support.own_channels:send", {}, "contacts.keys: must be set for channels.mine"),
        ("webhook", {}, "contacts.keys: must be set for channels.mine"),
        ("apprise", {"channels": {"mine": _APPRISE}}, r"^channels\.mine\.urls\[1\]: not the URL"),
        ("webhook", {"contacts": {"lookup": "nowhere:find"}}, "contacts.lookup: cannot load"),
        ("email", {}, "contacts.keys: must be set for channels.mine"),
        (
            "web_push",
            {"fields": {"private_key": "A" * 42 + "E"}, "contacts": {"keys": [key()]}},
            r"^channels\.mine\.private_key: does not belong to public_key$",
        ),
        (
            "web_push",
            {"fields": {"private_key": ""}, "contacts": {"keys": [key()]}},
            r"^channels\.mine\.private_key: must be set$",
        ),
        ("apprise", {"fields": {"urls": []}}, r"^channels\.mine\.urls: must be set$"),
        (
            "email",
            {"fields": {"username": "u"}, "contacts": {"keys": [key()]}},
            r"^channels\.mine\.password: must be set beside channels\.mine\.username$",
        ),
    ],
)
def test_check__names_what_is_missing(
    kind: str, sections: dict[str, dict[str, Any]], problem: str
) -> None:
    """The setting, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=problem):
        check_channels(settings(kind, **sections))


def test_check__needs_no_contacts_where_none_are_used() -> None:
    """Services of an operator have no users."""
    check_channels(settings("apprise"))


def test_check__names_templates_that_do_not_compile(tmp_path: Path) -> None:
    """Each with its line, by the name of the setting."""
    written(tmp_path / "default.html", "<p>{{ title }</p>")
    given = settings("email", contacts={"keys": [key()]}, fields={"templates": str(tmp_path)})
    with pytest.raises(
        ConfigurationError, match=r"channels\.mine\.templates: default\.html, line 1: unexpected"
    ):
        check_channels(given)
