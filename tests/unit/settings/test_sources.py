"""Settings come from a file, credentials and the environment, and say from which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galaxy_notify.settings import Settings, load_settings, sources
from tests.support.settings import problems, written


def from_variable(name: str, text: str) -> Settings:
    """Load settings with one variable set."""
    return load_settings(None, environ={f"GALAXY_NOTIFY_{name}": text})


def test_precedence__environment_credential_file(tmp_path: Path) -> None:
    """The environment wins over credentials, and they over the file."""
    config = written(
        tmp_path / "a.toml",
        '[redis]\nprefix = "file"\nusername = "file"\npassword = "file"\n[worker]\nslots = 3\n',
    )
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    username = written(credentials / "redis__username", "credential\n")
    written(credentials / "redis__password", "credential")
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "GALAXY_NOTIFY_REDIS__PASSWORD": "environment",
    }
    settings = load_settings(config, environ=environ)
    assert settings.redis.prefix == "file"
    assert settings.redis.username == "credential"
    assert settings.redis.current_password() == "environment"
    assert settings.sources["redis.prefix"] == config
    assert settings.sources["redis.username"] == username
    assert settings.sources["redis.password"] == "GALAXY_NOTIFY_REDIS__PASSWORD"
    assert settings.sources["worker.slots"] == config
    assert settings.sources["worker.shards"] == "default"


def test_embedded__is_above_all() -> None:
    """--embedded is the URL, whatever else is set."""
    environ = {"GALAXY_NOTIFY_REDIS__URL": "redis://elsewhere"}
    settings = load_settings(None, environ=environ, embedded=True)
    assert settings.redis.url == "embedded"
    assert settings.sources["redis.url"] == "--embedded"


def test_file__is_looked_up_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config is read before $GALAXY_NOTIFY_CONFIG, and that before the usual place."""
    usual, named, option = (
        written(tmp_path / name, f'[redis]\nprefix = "{name}"') for name in ("a", "b", "c")
    )
    monkeypatch.setattr(sources, "DEFAULT_FILE", Path(usual))
    by_variable = {"GALAXY_NOTIFY_CONFIG": named}
    assert load_settings(option, environ=by_variable).redis.prefix == "c"
    assert load_settings(None, environ=by_variable).redis.prefix == "b"
    assert load_settings(None, environ={"GALAXY_NOTIFY_CONFIG": ""}).redis.prefix == "a"
    assert load_settings(None, environ={}).redis.prefix == "a"
    monkeypatch.setattr(sources, "DEFAULT_FILE", tmp_path / "none")
    assert load_settings(None, environ={}).redis.prefix == "gn"


def test_file__named_must_exist(tmp_path: Path) -> None:
    """A file that is named and missing, or is a directory, is a wrong configuration."""
    missing = str(tmp_path / "none.toml")
    line = f"{missing}: cannot be read: No such file or directory"
    assert problems(missing) == [line]
    assert problems(None, GALAXY_NOTIFY_CONFIG=missing) == [line]
    assert problems(str(tmp_path)) == [f"{tmp_path}: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[redis]\nurl = 1 2\n", "not valid TOML: Expected newline"),
        ("[redis]\n[redis]\n", "not valid TOML: Cannot declare"),
        (b"[redis]\n\nurl = '\xff'\n", "line 3 is not UTF-8 text"),
        ("x = " + "[" * 5000, "not valid TOML"),
        ("[worker]\nslots = " + "9" * 5000, "not valid TOML"),
    ],
)
def test_file__that_is_no_toml(tmp_path: Path, text: str | bytes, said: str) -> None:
    """A file that is no TOML is told on one line."""
    config = written(tmp_path / "a.toml", text)
    (line,) = problems(config)
    assert line.startswith(f"{config}: {said}")


def test_file__names_the_bad_line(tmp_path: Path) -> None:
    """Where TOML ends, the line is named."""
    (line,) = problems(written(tmp_path / "a.toml", "[redis]\n\nurl = \n"))
    assert "line 3" in line


def test_unknown__names_are_errors(tmp_path: Path) -> None:
    """Unknown sections, settings and variables are told, all at once, with what was meant."""
    config = written(
        tmp_path / "a.toml",
        'top = 1\nredis = 3\n[wroker]\nslots = 1\n[worker]\nslot = 1\n"a\\nb" = 1\n',
    )
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("redis__pasword", "other__password", "redis-password"):
        written(credentials / name, "x")
    found = problems(
        config,
        CREDENTIALS_DIRECTORY=str(credentials),
        GALAXY_NOTIFY_WORKER__BATCHSIZE="1",
        GALAXY_NOTIFY_QUEUE__SIZE="1",
        GALAXY_NOTIFY_URL="x",
        GALAXY_NOTIFY_redis__url="x",
        GALAXY_NOTIFY_="x",
        GALAXY_NOTIFYING="not ours",
        galaxy_notify_redis__url="not ours",
    )
    form = "unknown variable, expected GALAXY_NOTIFY_<SECTION>__<FIELD>"
    assert found == [
        f"top: unknown section (from {config})",
        f"redis: must be a table, [redis] (from {config})",
        f"wroker: unknown section, did you mean worker? (from {config})",
        f"worker.slot: unknown setting, did you mean slots? (from {config})",
        f"worker.a\\nb: unknown setting (from {config})",
        "redis.pasword: unknown setting, did you mean password? "
        f"(from {credentials}/redis__pasword)",
        f"GALAXY_NOTIFY_: {form}",
        "queue: unknown section (from GALAXY_NOTIFY_QUEUE__SIZE)",
        f"GALAXY_NOTIFY_URL: {form}",
        "worker.batchsize: unknown setting, did you mean batch_size? "
        "(from GALAXY_NOTIFY_WORKER__BATCHSIZE)",
        f"GALAXY_NOTIFY_redis__url: {form}",
    ]


def test_problems__are_told_all_at_once(tmp_path: Path) -> None:
    """Every broken rule has its line, naming the setting and the source of its value."""
    config = written(
        tmp_path / "a.toml", '[worker]\nbatch_size = 0\nslots = "2"\n[retry]\nbackoff_max_ms = 9\n'
    )
    assert problems(
        config,
        GALAXY_NOTIFY_WORKER__BATCH_SIZE="900",
        GALAXY_NOTIFY_RETRY__BACKOFF_MIN_MS="10",
        GALAXY_NOTIFY_LOG__LEVEL="loud",
    ) == [
        f'worker.slots: must be a whole number, not "2" (from {config})',
        "worker.batch_size: must be at least 1 and at most 256, not 900 "
        "(from GALAXY_NOTIFY_WORKER__BATCH_SIZE)",
        'log.level: must be one of "debug", "info", "warning", "error", not "loud" '
        "(from GALAXY_NOTIFY_LOG__LEVEL)",
        "retry.backoff_min_ms: must not exceed retry.backoff_max_ms, but 10 is more than 9 "
        f"(from GALAXY_NOTIFY_RETRY__BACKOFF_MIN_MS and {config})",
    ]


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("push", ("push",)),
        ("push, sms ,web", ("push", "sms", "web")),
        ('["push", "sms"]', ("push", "sms")),
    ],
)
def test_variable__holds_a_list(text: str, channels: tuple[str, ...]) -> None:
    """A list is written with commas or as JSON."""
    assert from_variable("WORKER__CHANNELS", text).worker.channels == channels


@pytest.mark.parametrize("text", ["", " ", "push,,sms", "push,", "[", "[1]", "[" * 100_000, "{}"])
def test_variable__refuses_what_is_no_list(text: str) -> None:
    """A list with a hole, or of something else, is refused."""
    (line,) = problems(None, GALAXY_NOTIFY_WORKER__CHANNELS=text)
    assert line.startswith("worker.channels")


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "٣", "1_0", "true", "9" * 5000, "1\n"])
def test_variable__refuses_what_is_no_number(text: str) -> None:
    """A number is written with plain digits."""
    (line,) = problems(None, GALAXY_NOTIFY_WORKER__SLOTS=text)
    assert line.startswith("worker.slots: must be a whole number, not ")


def test_variable__turns_optional_off() -> None:
    """An empty text unsets what need not be set."""
    settings = from_variable("REDIS__USERNAME", "")
    assert settings.redis.username is None
    assert from_variable("GATEWAY__STREAM", "").gateway.stream == ""


def test_variable__must_be_text() -> None:
    """Bytes that are no UTF-8 are refused without being shown."""
    text = os.fsdecode(b"\xff")
    assert problems(None, GALAXY_NOTIFY_REDIS__PASSWORD=text) == [
        "redis.password: must be UTF-8 text (from GALAXY_NOTIFY_REDIS__PASSWORD)"
    ]


@pytest.mark.parametrize(("text", "truth"), [("true", True), ("No", False), ("0", False)])
def test_variable__holds_a_truth(text: str, truth: bool) -> None:
    """A truth value may be written in the usual ways."""
    assert from_variable("REDIS__CLUSTER", text).redis.cluster is truth
