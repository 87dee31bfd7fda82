"""The settings of contacts: keys are checked, never shown, and renewed under a process."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import load_settings, settings_from
from galaxy_notify.settings.contacts import ContactsSettings
from tests.support.settings import problems, written


def entry(name: str, byte: int = 7, length: int = 32) -> str:
    """Return an entry of contacts.keys."""
    return f"{name}:{b64encode(bytes([byte]) * length).decode()}"


def contacts(text: str) -> ContactsSettings:
    """Load the section with these keys from the environment."""
    return load_settings(None, environ={"GALAXY_NOTIFY_CONTACTS__KEYS": text}).contacts


def test_keys__are_read_in_order() -> None:
    """The first key is the one that encrypts; no representation shows a secret."""
    found = contacts(f"{entry('k2', 2)},{entry('k1', 1)}")
    assert [(key.id, key.secret) for key in found.current_keys()] == [
        ("k2", b"\2" * 32),
        ("k1", b"\1" * 32),
    ]
    secret = entry("", 2)[1:]
    assert secret not in repr(found) + str(found)
    assert repr(b"\2" * 32)[2:-1] not in repr(found.current_keys())


def test_keys__are_masked() -> None:
    """What is shown has one mask for each."""
    settings = settings_from({"contacts": {"keys": [entry("a"), entry("b")]}})
    assert settings.masked()["contacts"]["keys"] == ["********"] * 2


@pytest.mark.parametrize(
    "wrong",
    ["", "k1", "k1:", ":AAAA", entry("k1", length=31), entry("k1", length=33), entry("a b"),
     entry("a" * 33), "k1:" + "?" * 44, "k1:ä"],
)  # fmt: skip
def test_keys__are_refused_without_being_shown(wrong: str) -> None:
    """The place of a wrong key is named, and nothing of it is."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"contacts": {"keys": [entry("k0"), wrong]}}, source="here")
    rule = "entry 2 must be ID:BASE64 of 32 bytes, as `galaxy-notify contacts key` prints it"
    assert str(error.value) == f"contacts.keys: {rule} (from here)"


def test_keys__have_ids_of_their_own() -> None:
    """Two keys of one name cannot be told apart."""
    (line,) = problems(None, GALAXY_NOTIFY_CONTACTS__KEYS=f"{entry('a', 1)},{entry('a', 2)}")
    assert line.startswith("contacts.keys: entry 2 must not repeat a (from ")


def test_lookup__is_an_attribute() -> None:
    """A lookup of one's own has the form of an encoder's name."""
    assert settings_from({"contacts": {"lookup": "my.module:find"}}).contacts.lookup
    with pytest.raises(ConfigurationError, match=r"contacts.lookup: must be module:attribute"):
        settings_from({"contacts": {"lookup": "find"}})


def test_credential__is_read_again(tmp_path: Path) -> None:
    """Keys from a credential are renewed under a process; a broken file changes nothing."""
    path = tmp_path / "contacts__keys"
    written(path, f"{entry('old')}\n")
    found = load_settings(None, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).contacts
    assert [key.id for key in found.current_keys()] == ["old"]
    written(path, f"{entry('new')}\n{entry('old')}\n")
    assert [key.id for key in found.current_keys()] == ["new", "old"]
    for broken in ("", "x", b"\xff"):
        written(path, broken)
        assert [key.id for key in found.current_keys()] == ["old"]
    path.unlink()
    assert [key.id for key in found.current_keys()] == ["old"]
