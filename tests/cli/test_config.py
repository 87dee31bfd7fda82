"""``config``: what holds, where it came from, and what is wrong with it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import MODELS
from tests.support.command import NOWHERE, CommandLine


def test_show__tells_value_and_source(tmp_path: Path) -> None:
    """Each setting has its value and where it came from; the environment wins."""
    file = tmp_path / "gn.toml"
    file.write_text('[worker]\nshards = 3\nslots = 4\n[redis]\nprefix = "x"\n')
    command = CommandLine(NOWHERE, {"WORKER__SHARDS": "5"})
    told = json.loads(command.run("--config", str(file), "config", "show", "--json").stdout)
    assert told["worker.shards"] == {"value": 5, "source": "GALAXY_NOTIFY_WORKER__SHARDS"}
    assert told["worker.slots"] == {"value": 4, "source": str(file)}
    assert told["retry.jitter"] == {"value": "full", "source": "default"}
    shown = command.run("--config", str(file), "config", "show").stdout
    assert "worker.shards" in shown
    assert "GALAXY_NOTIFY_WORKER__SHARDS" in shown


def test_show__hides_secrets() -> None:
    """No password is printed, wherever it was given."""
    command = CommandLine(
        "redis://ann:hunter2@127.0.0.1:1/0", {"REDIS__SENTINEL_PASSWORD": "hunter3"}
    )
    for arguments in (("show",), ("show", "--json"), ("check",)):
        done = command.run("config", *arguments)
        assert done.exit_code == 0
        assert "hunter" not in done.output


def test_show__has_the_channels_of_a_deployment() -> None:
    """Each setting of an external channel has its row; those of each kind follow as comments."""
    external = {"WORKER__CHANNELS": "push,hook", "CHANNELS__HOOK__KIND": "log"}
    command = CommandLine(NOWHERE, external)
    told = command.told("config", "show")
    kind = {"value": "log", "source": "GALAXY_NOTIFY_CHANNELS__HOOK__KIND"}
    assert told["channels.hook.kind"] == kind
    assert told["channels.hook.timeout_ms"] == {"value": 15_000, "source": "default"}
    shown = command.run("config", "show").stdout
    assert shown.count("\n# [channels.NAME]\n") == len(MODELS)
    assert '\n# kind = "webhook"\n' in shown
    assert "channels.hook.kind" in command.run("config", "check").stdout


def test_check__lists_all_problems() -> None:
    """Everything wrong is told at once, and the exit code is 78."""
    command = CommandLine(NOWHERE, {"WORKER__SHARDS": "0", "NOPE": "1", "LOG__LEVEL": "loud"})
    done = command.run("config", "check")
    assert done.exit_code == 78
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 3
    told = command.told("config", "check")
    assert told["ok"] is False
    assert len(told["problems"]) == 3


def test_check__good_settings_are_0() -> None:
    """Good settings are told to be good, without asking Redis."""
    command = CommandLine(NOWHERE)
    assert command.run("config", "check").exit_code == 0
    assert command.told("config", "check") == {"ok": True, "problems": []}


def test_defaults__are_a_settings_file(tmp_path: Path) -> None:
    """What is printed can be used as it is, and changes nothing."""
    printed = CommandLine(NOWHERE).run("config", "defaults").stdout
    file = tmp_path / "gn.toml"
    file.write_text(printed)
    assert tomllib.loads(printed)["worker"]["shards"] == 1
    assert CommandLine(NOWHERE).run("--config", str(file), "config", "check").exit_code == 0
    assert CommandLine(NOWHERE).told("config", "defaults") == Settings().masked()
