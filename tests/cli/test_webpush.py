"""``webpush keys``: what it prints can be used as it is."""

from __future__ import annotations

import json
import tomllib

from galaxy_notify.contacts.vapid_keys import VapidKeys
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.settings.channel_kinds import WebPushChannel
from tests.support.command import NOWHERE, CommandLine


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
