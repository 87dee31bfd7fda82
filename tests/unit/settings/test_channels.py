"""The sections of external channels: their kind decides what they have, wherever it is set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import (
    EmailChannel,
    OwnChannel,
    Settings,
    load_settings,
    settings_from,
)
from tests.support.settings import NEEDED, WEBHOOK_DEFAULTS, problems, written

HOOK = {"kind": "webhook"}
MAIL = {"kind": "email", **NEEDED["email"]}
PUSH = {"kind": "web_push", **NEEDED["web_push"]}
KNOWN = "log, webhook, email, web_push, apprise or module:attribute"


def with_channel(channel: Any, name: str = "hook", **sections: dict[str, Any]) -> Settings:
    """Make settings with one external channel."""
    worker = {"worker": {"channels": ["push", name]}}
    return settings_from({**worker, **sections, "channels": {name: channel}}, source="here")


def refusals(channel: Any, name: str = "hook", **sections: dict[str, Any]) -> list[str]:
    """Return the lines that a channel is refused with."""
    with pytest.raises(ConfigurationError) as error:
        with_channel(channel, name, **sections)
    return str(error.value).splitlines()


def test_channel__has_the_defaults_of_its_kind() -> None:
    """What is not set has the default of the kind, and says so."""
    settings = with_channel({**HOOK, "timeout_ms": 5000})
    shown = settings.masked()["channels.hook"]
    assert shown == {**HOOK, **WEBHOOK_DEFAULTS, "timeout_ms": 5000}
    sources = {name: settings.sources[f"channels.hook.{name}"] for name in shown}
    assert {name for name, source in sources.items() if source == "here"} == {"kind", "timeout_ms"}
    assert set(sources.values()) == {"here", "default"}
    assert settings.stream_channels == ("push",)


def test_channel__own_is_a_function() -> None:
    """A kind with a colon is a function of one's own."""
    (channel,) = with_channel({"kind": "my.module:Class.send"}).channels.values()
    assert type(channel) is OwnChannel


def test_channel__comes_from_every_source(tmp_path: Path) -> None:
    """The environment wins over credentials, and they over the file; each may hold the kind."""
    config = written(
        tmp_path / "a.toml",
        '[worker]\nchannels = ["push", "my__hook"]\n'
        "[channels.my__hook]\ntimeout_ms = 1000\nconcurrency = 1\nper_host = 1\n",
    )
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    kind = written(credentials / "channels__my__hook__kind", "webhook\n")
    written(credentials / "channels__my__hook__per_host", "2\n")
    written(credentials / "channels__my__hook__concurrency", "2\n")
    variable = "GALAXY_NOTIFY_CHANNELS__MY__HOOK__CONCURRENCY"
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), variable: "3"}
    settings = load_settings(config, environ=environ)
    hook = settings.channels["my__hook"]
    assert (hook.kind, hook.timeout_ms, hook.per_host, hook.concurrency) == ("webhook", 1000, 2, 3)
    assert settings.sources["channels.my__hook.kind"] == kind
    assert settings.sources["channels.my__hook.timeout_ms"] == config
    assert settings.sources["channels.my__hook.concurrency"] == variable


@pytest.mark.parametrize("text", ["200,400", "[200, 400]", "200, 400"])
def test_channel__variable_holds_numbers(text: str) -> None:
    """A list of numbers has commas or is JSON; an empty text unsets what has no default."""
    environ = {
        "WORKER__CHANNELS": "hook",
        "CHANNELS__HOOK__KIND": "log",
        "CHANNELS__HOOK__SCHEDULE_MS": text,
        "CHANNELS__HOOK__MAX_ATTEMPTS": "4",
        "CHANNELS__HOOK__BACKOFF_MIN_MS": "",
        "CHANNELS__HOOK__UNLESS_READ": "yes",
    }
    settings = load_settings(None, environ={f"GALAXY_NOTIFY_{k}": v for k, v in environ.items()})
    hook = settings.channels["hook"]
    assert hook.schedule_ms == hook.schedule == (200, 400)
    assert (hook.max_attempts, hook.backoff_min_ms, hook.unless_read) == (4, None, True)


@pytest.mark.parametrize(
    ("channel", "line"),
    [
        (3, "channels.hook: must be a table, [channels.hook]"),
        ({"timeout_ms": 1}, f"channels.hook.kind: must be set to {KNOWN}"),
        ({"kind": "sms", "host": "h"}, f'channels.hook.kind: must be {KNOWN}, not "sms"'),
        ({"kind": 7}, f"channels.hook.kind: must be {KNOWN}, not 7"),
        ({"kind": "log", "ports": [443]}, 'channels.hook.ports: is no setting of kind "log"'),
        (
            {**HOOK, "time_out_ms": 1},
            "channels.hook.time_out_ms: unknown setting, did you mean timeout_ms?",
        ),
        ({**HOOK, "max_attempts": 0}, "channels.hook.max_attempts: must be at least 1 and at most"),
        ({**HOOK, "schedule_ms": [0]}, "channels.hook.schedule_ms: must have entries of 1"),
        ({**HOOK, "schedule_ms": [1] * 101}, "channels.hook.schedule_ms: must have 100 entries at"),
        ({**HOOK, "schedule_ms": 5}, "channels.hook.schedule_ms: must be a list of numbers, not 5"),
        ({**HOOK, "ports": ["x"]}, 'channels.hook.ports[0]: must be a whole number, not "x"'),
        ({**HOOK, "ports": []}, "channels.hook.ports: needs at least one"),
        ({**HOOK, "ports": [65_536]}, "channels.hook.ports: must have ports of 1 to 65535"),
        ({**HOOK, "allow": ["10.1.2.3/16"]}, "channels.hook.allow[0]: must be an address, or a"),
        ({**HOOK, "rate": "100"}, "channels.hook.rate: must be N/s, N/min or N/h, such as 100/s"),
        ({**HOOK, "delivery": "once"}, 'channels.hook.delivery: must be one of "at_least_once"'),
        (
            {**HOOK, "timeout_ms": 30_001},
            "channels.hook.lease_ttl_ms: must be at least twice channels.hook.timeout_ms, 60002,",
        ),
        (
            {**HOOK, "schedule_ms": [1], "backoff_max_ms": 9},
            "channels.hook.backoff_max_ms: must not be set beside channels.hook.schedule_ms",
        ),
        (
            {**HOOK, "backoff_min_ms": 60_001},
            "channels.hook.backoff_min_ms: must not exceed channels.hook.backoff_max_ms, but 60001",
        ),
    ],
)  # fmt: skip
def test_channel__refuses_by_name(channel: Any, line: str) -> None:
    """One line names the setting to blame, and where it comes from."""
    (found,) = refusals(channel)
    assert found.startswith(line)
    assert found.endswith("(from here)")


@pytest.mark.parametrize(
    ("channel", "line"),
    [
        ({"kind": "email"}, "channels.hook.host: must be set for the kind email"),
        ({**MAIL, "host": "smtp.example.com:25"}, "channels.hook.host: must be the name or addr"),
        ({**MAIL, "host": "smtp example"}, "channels.hook.host: must be the name or address of a"),
        ({**MAIL, "sender": "Example"}, "channels.hook.sender: must be an e-mail address such as"),
        ({**MAIL, "sender": "A\n <a@b.c>"}, "channels.hook.sender: must not contain control"),
        (
            {**MAIL, "password": "p"},
            "channels.hook.username: must be set beside channels.hook.pass",
        ),
        ({**MAIL, "public_url": "example.com"}, "channels.hook.public_url: must be a URL such as"),
        ({**MAIL, "public_url": "https://e.x/?a"}, "channels.hook.public_url: must be a URL such"),
        ({**PUSH, "subject": ""}, "channels.hook.subject: must be set for the kind web_push"),
        ({**PUSH, "private_key": "secret"}, "channels.hook.private_key: must be a key as `galaxy"),
        ({**PUSH, "public_key": "BP4z"}, "channels.hook.public_key: must be a key as `galaxy-noti"),
        ({**PUSH, "subject": "ops@example.com"}, "channels.hook.subject: must be mailto:ADDRESS o"),
        (
            {"kind": "apprise", "urls": ["json://localhost"] * 2},
            "channels.hook.urls: must not contain a URL twice",
        ),
        (
            {"kind": "apprise", "urls": [f"json://h{n}" for n in range(21)]},
            "channels.hook.urls: must have 20 entries at most, not 21",
        ),
    ],
)
def test_channel__refuses_what_its_kind_cannot_use(channel: Any, line: str) -> None:
    """Each kind has needs and forms of its own; no secret is shown."""
    found = refusals(channel)[0]
    assert found.startswith(line)
    assert "secret" not in found.partition(": ")[2]


def test_email__has_no_link_where_contacts_are_looked_up() -> None:
    """A look-up of one's own stores nothing: whoever unsubscribed would get the next e-mail."""
    contacts = {"lookup": "my.module:find"}
    (line,) = refusals({**MAIL, "public_url": "https://e.x"}, contacts=contacts)
    assert line.startswith("channels.hook.public_url: must not be set beside contacts.lookup")


def test_email__password_is_that_of_its_credential_now(tmp_path: Path) -> None:
    """A renewed credential counts without a restart."""
    config = written(
        tmp_path / "a.toml",
        '[worker]\nchannels = ["mail"]\n[channels.mail]\nkind = "email"\nusername = "u"\n'
        'host = "smtp.example.com"\nsender = "a@example.com"\n',
    )
    written(tmp_path / "channels__mail__password", "first\n")
    settings = load_settings(config, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (mail,) = settings.channels.values()
    assert isinstance(mail, EmailChannel)
    assert mail.current_password() == "first"
    written(tmp_path / "channels__mail__password", "second\n")
    assert mail.current_password() == "second"


def test_channel__tells_all_that_is_wrong() -> None:
    """Every wrong value has its line, and keeps rules about it from having another."""
    wrong = {**HOOK, "timeout_ms": 1, "rate": "x", "sender": "s", "ports": ["a", 0]}
    named = [line.partition(":")[0] for line in refusals(wrong)]
    names = ("sender", "timeout_ms", "rate", "ports[0]")
    assert named == [f"channels.hook.{name}" for name in names]


def test_channel__must_be_one_of_the_deployment() -> None:
    """A section makes no channel: worker.channels has all of them, and in_app is the feed's."""
    line = "channels.hook.kind: needs hook in worker.channels (push) (from here)"
    assert refusals(HOOK, worker={}) == [line]
    (line,) = refusals(HOOK, "in_app")
    assert line.startswith("channels.in_app.kind: must not be set for in_app")


@pytest.mark.parametrize("name", ["Hook", "a-b", "", "a" * 33, "1a", "a\nb", "ä"])
def test_channel__name_is_one(name: str) -> None:
    """What is no name of a channel is refused, and cannot break the line."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"channels": {name: HOOK}}, source="here")
    (line,) = str(error.value).splitlines()
    assert line.isprintable()
    assert "the name must match" in line


def test_channel__names_broken_variables() -> None:
    """A variable without a field, and one that is no text, are refused by name."""
    assert problems(
        None,
        GALAXY_NOTIFY_CHANNELS="x",
        GALAXY_NOTIFY_CHANNELS__HOOK="x",
        GALAXY_NOTIFY_CHANNELS__LOG__KIND="log",
        GALAXY_NOTIFY_CHANNELS__LOG__RATE=os.fsdecode(b"\xff"),
        GALAXY_NOTIFY_WORKER__CHANNELS="log",
    ) == [
        "GALAXY_NOTIFY_CHANNELS: unknown variable, expected GALAXY_NOTIFY_<SECTION>__<FIELD>",
        "channels.hook: must be channels__NAME__FIELD (from GALAXY_NOTIFY_CHANNELS__HOOK)",
        "channels.log.rate: must be UTF-8 text (from GALAXY_NOTIFY_CHANNELS__LOG__RATE)",
    ]
    with pytest.raises(ConfigurationError, match=r"channels: must hold tables, \[channels.NAME\]"):
        settings_from({"channels": 3})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("channel", "schedule"),
    [
        ({}, tuple(WEBHOOK_DEFAULTS["schedule_ms"])),
        ({"schedule_ms": [7]}, (7,)),
        ({"backoff_min_ms": 7}, ()),
        ({"backoff_max_ms": 7000}, ()),
    ],
)
def test_schedule__gives_way_to_a_backoff(channel: Any, schedule: tuple[int, ...]) -> None:
    """Where a backoff is set, the schedule of the kind is not used."""
    assert with_channel({**HOOK, **channel}).channels["hook"].schedule == schedule


@pytest.mark.parametrize(
    ("rate", "per_s"), [("", None), ("100/s", 100.0), ("30/min", 0.5), ("3600/h", 1.0)]
)
def test_rate__is_in_sends_a_second(rate: str, per_s: float | None) -> None:
    """The rate is read in any of its units."""
    assert with_channel({**HOOK, "rate": rate}).channels["hook"].sends_per_s == per_s


def test_serves__are_channels_of_the_deployment() -> None:
    """A process works on all channels, or on those that it names."""
    worker = {"channels": ["push", "in_app", "hook"]}
    assert settings_from({"worker": worker}).worker.served == ("push", "in_app", "hook")
    some = with_channel(HOOK, worker={**worker, "serves": ["hook", "in_app"]})
    assert some.worker.served == ("hook", "in_app")
    assert some.stream_channels == ("in_app",)
    for serves, rule in ((["sms"], "sms is not one of worker.channels"), (["push"] * 2, "twice")):
        with pytest.raises(ConfigurationError, match=f"worker.serves: .*{rule}"):
            settings_from({"worker": {**worker, "serves": serves}})
