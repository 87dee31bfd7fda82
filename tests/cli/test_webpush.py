"""``webpush keys``: what it prints can be used as it is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from galaxy_notify.contacts.vapid_keys import VapidKeys
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.settings.channel_kinds import WebPushChannel
from tests.support.command import NOWHERE, CommandLine
from tests.support.contacts import key
from tests.support.program import ROOT
from tests.support.servers import Server


def test_keys__are_settings_of_a_channel() -> None:
    """A pair, that each call makes; Redis is not asked."""
    command = CommandLine(NOWHERE)
    printed = [command.run("webpush", "keys") for _ in range(2)]
    assert [one.exit_code for one in printed] == [0, 0]
    first, second = (WebPushChannel(**tomllib.loads(one.stdout)) for one in printed)
    assert first.public_key != second.public_key
    assert first.private_key
    VapidKeys(first.public_key, first.private_key.get_secret_value()).signing_key()
    assert first.subject == "mailto:ops@example.com"


def test_keys__as_json() -> None:
    """With the id that is kept with each subscription."""
    done = CommandLine(NOWHERE).run("webpush", "keys", "--json")
    found = json.loads(done.stdout)
    assert found.pop("key_id") == key_id_of(found["public_key"])
    VapidKeys(**found).signing_key()


def test_keys__complete_the_settings_of_the_example(tmp_path: Path, server: Server) -> None:
    """As docs/web-push.md appends them: a daemon and a gateway would start with that."""
    command = CommandLine(server.url, {"CONTACTS__KEYS": key()})
    config = tmp_path / "settings.toml"
    example = (ROOT / "examples/web_push/settings.toml").read_text()
    config.write_text(example + command.run("webpush", "keys").stdout)
    checked = command.run("--config", str(config), "config", "check")
    assert checked.exit_code == 0, checked.output
