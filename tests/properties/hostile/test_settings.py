"""Hostile settings: told in one line each by name, never with a secret, whatever their size."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.properties.hostile.corpus import NO_IDS
from tests.support.command import CommandLine
from tests.support.settings import problems, written

SECRET = "s3cr3t"

#: URLs that name no server of ours.
URLS: tuple[str, ...] = (
    f"redis://u:{SECRET}@h/0?socket_timeout=abc",
    f"redis://u:{SECRET}@h/0?decode_responses=1",
    f"redis://u:{SECRET}@h/0?unknown=1",
    f"redis://u:{SECRET}@h/0?{SECRET}",
    f"redis://u:{SECRET}@h/0?db=-1",
    f"redis://u:{SECRET}@h/0?db={'9' * 5000}",
    f"redis://u:{SECRET}@h/0?ssl_cert_reqs=none",
    f"rediss://u:{SECRET}@h/0?ssl_cert_reqs={SECRET}",
    f"redis://u:{SECRET}@{'h' * 300}:1",
    f"redis://u:{SECRET}@ä..:1",
    f"redis://u:{SECRET}@h:99999",
    f"redis://u:{SECRET}@[::1",
    f"redis://u:{SECRET}@h\x1b[2J",
    f"redis://u:{SECRET}@h/\n0",
    f"unix://u:{SECRET}@/%00",
    f"unix://u:{SECRET}@/%1b[2J",
    f"javascript://u:{SECRET}@h",
    f"redis://{SECRET}@/",
    SECRET,
    "",
)


@pytest.mark.parametrize("url", URLS)
def test_url__that_names_no_server(url: str) -> None:
    """A URL that the client would stumble over is refused first, and never shown."""
    (line,) = problems(None, GALAXY_NOTIFY_REDIS__URL=url)
    assert line.startswith("redis.url: ")
    assert SECRET not in line
    assert line.isprintable()


@pytest.mark.parametrize("name", [n for n in NO_IDS if not re.fullmatch("[A-Za-z0-9.]+", n)])
def test_text__of_anything_is_told_by_name(name: str) -> None:
    """Texts that are no word of ours are refused in the name of the setting, in few characters."""
    fields = ("REDIS__PREFIX", "WORKER__CHANNELS", "GATEWAY__TRIM", "GATEWAY__ENCODER")
    for field in (*fields, "WORKER__SHARDS", "REDIS__DURABILITY", "LOG__LEVEL"):
        lines = problems(None, **{f"GALAXY_NOTIFY_{field}": name})
        assert len(lines) == 1, lines
        assert lines[0].startswith(field.lower().replace("__", "."))
        assert lines[0].isprintable()
        assert len(lines[0]) < 300


@pytest.mark.parametrize(
    "toml",
    [
        "\0",
        "\ufeff",
        "[worker]\nslots = nan",
        "[worker]\nslots = inf",
        "[worker]\nslots = 1e3",
        "[worker]\nslots = 2030-01-01T00:00:00Z",
        "[worker]\nslots = [[[[1]]]]",
        "[worker]\nslots = 99999999999999999999",
        "[worker]\nslots = {}",
        '[worker]\nchannels = ["push", 7]',
        '[worker]\nchannels = [["push"]]',
        '[worker]\nchannels = ["\\u001b[2J"]',
        "[[worker]]\nslots = 1",
        '"\\u001b[2J" = 1',
        '[redis]\nprefix = "\\u0000"',
        '[redis]\ntls_ca = "\\u0000\\u001b[2J"\nurl = "rediss://h"',
        "[redis]\nsentinels = [1]",
        "redis.url.x = 1",
        "x = " + "{x=" * 5000,
        "#" * 2_000_000,
    ],
)
def test_file__of_anything_is_told_on_few_lines(tmp_path: Path, toml: str) -> None:
    """Whatever a file holds, each thing that is wrong with it has one line."""
    config = written(tmp_path / "a.toml", toml)
    told = problems(config)
    assert 1 <= len(told) <= 2
    for line in told:
        assert line.isprintable()
        assert len(line) < 400


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file")
def test_file__without_an_end_is_not_read(tmp_path: Path) -> None:
    """Neither an endless settings file nor an endless credential is read to its end."""
    (line,) = problems("/dev/zero")
    assert line.startswith("/dev/zero: is longer than")
    os.symlink("/dev/zero", tmp_path / "redis__password")
    (line,) = problems(None, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert line.startswith("redis.password: cannot be read: is longer than")


@pytest.mark.parametrize("command", ["status", "config show", "config check", "accept --check"])
def test_command__shows_no_secret_of_wrong_settings(command: str) -> None:
    """Every command ends with 78 and one line, without the password beside what is wrong."""
    url = f"redis://u:{SECRET}@h/0?unknown={SECRET}"
    settings = {"REDIS__PASSWORD": SECRET, "REDIS__SENTINEL_PASSWORD": SECRET}
    done = CommandLine(url, settings).run(*command.split())
    assert done.exit_code == 78
    assert "redis.url" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
