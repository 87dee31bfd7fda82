"""Settings are exactly the contract's, and every rule that is broken is told by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import Settings, load_settings, settings_from
from tests.support.settings import DEFAULTS, NUMBERS, YEAR_MS

CHOICES = [
    ("retry.jitter", ["full", "none"]),
    ("gateway.trim", ["acknowledged", "always", "none"]),
    ("gateway.on_refused", ["hold", "retry"]),
    ("log.level", ["debug", "info", "warning", "error"]),
    ("log.format", ["auto", "json", "console"]),
]


def with_value(name: str, value: object) -> Settings:
    """Make settings that differ from the defaults in one value."""
    section, field = name.split(".")
    # The two delays limit each other, which is not what is asked here.
    beside = {"retry": {"backoff_min_ms": 1, "backoff_max_ms": YEAR_MS}}.get(section, {})
    return settings_from({section: {**beside, field: value}}, source="here")


def get(settings: Settings, name: str) -> object:
    """Return the value of ``section.field``."""
    section, field = name.split(".")
    return getattr(getattr(settings, section), field)


def refusal(name: str, value: object) -> str:
    """Return the one line that this value of one setting is refused with."""
    with pytest.raises(ConfigurationError) as error:
        with_value(name, value)
    line = str(error.value)
    assert line.startswith(name)
    assert line.endswith("(from here)")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(("name", "least", "most"), NUMBERS)
def test_numbers__keep_their_bounds(name: str, least: int, most: int) -> None:
    """A number is taken from its least to its greatest value and refused beyond."""
    for good in (least, most):
        assert get(with_value(name, good), name) == good
    for bad in (least - 1, most + 1):
        rule = f"{name}: must be at least {least} and at most {most}, not {bad} (from here)"
        assert refusal(name, bad) == rule
    others: list[object] = [True, 1.0, "1", None, [], {}, 10**5000, "many"]
    for other in others:
        assert "must be" in refusal(name, other)


@pytest.mark.parametrize(("name", "choices"), CHOICES)
def test_choices__are_closed(name: str, choices: list[str]) -> None:
    """A choice is one of its words, written as they are."""
    for choice in choices:
        assert get(with_value(name, choice), name) == choice
    listed = ", ".join(f'"{choice}"' for choice in choices)
    assert f'must be one of {listed}, not "LOUD"' in refusal(name, "LOUD")
    others: list[object] = ["", 1, None, []]
    for other in others:
        refusal(name, other)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("redis.url", [
            "redis://h", "redis://h:1/",
            "rediss://u:p@h:6379/15", "valkey://h", "valkeys://[::1]:1",
            "unix:///run/redis.sock?db=1", "unix://:pw@/run/redis.sock", "redis://:p%40@h",
            "embedded",
        ]),
        ("redis.prefix", ["g", "0", "G" * 64, "a.b_c-d"]),
        ("redis.username", ["app"]),
        ("redis.state_dir", [Path("/var/lib/x")]),
        ("redis.cluster", [True, False]),
        ("redis.sentinels", [("a:26379", "10.0.0.2:26380", "[::1]:26379")]),
        ("redis.durability", ["none", "aof", "replicas:1", "replicas:12"]),
        ("gateway.stream", ["", "events", "{gn:0}:mine", "a b"]),
        ("gateway.encoder", ["msgpack", "json", "pack.age:Thing.encode", "a_1:b"]),
        ("worker.channels", [("push",), ("push", "web_2"), ("a" * 32,)]),
    ],
)  # fmt: skip
def test_forms__take(name: str, good: list[object]) -> None:
    """What has the form of a setting is taken."""
    for value in good:
        assert get(with_value(name, value), name) == value


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("redis.url", [
            "", "localhost", "http://h", "redis://", "redis:///0", "redis://h:port", "redis://h:99999",
            "redis://h/x", "redis://h/0/1", " redis://h", "redis://h\n", "redis://h#x", "unix://",
            "unix:///", "redis://:a/b@h", "redis://[::1", "REDIS", "Embedded", 1, None, [],
        ]),
        ("redis.prefix", ["", "a" * 65, ".a", "{a}", "a:b", "a b", "a\n", "ä", 1]),
        ("redis.username", [1, []]),
        ("redis.password", [1, []]),
        ("redis.cluster", ["true", 1, 0, None]),
        ("redis.sentinels", ["h:1", ["h"], ["h:x"], ["::1:1"], ["[h]:1"], [1]]),
        ("redis.sentinel_master", ["", 1]),
        ("redis.state_dir", [1, []]),
        ("redis.durability", ["", "all", "replicas", "replicas:0", "replicas:x", 1]),
        ("gateway.stream", [" ", " a", "a ", "\t", "a\0b", 1, None]),
        ("gateway.encoder", ["", "pickle", "a", ":x", "a:", "a:b:c", "a.:b", "a:1", "a:b\n", 1]),
        ("worker.channels", [
            [], "push", ["Push"], [""], ["a-b"], ["a" * 33], ["push", "push"], ["a\n"], [1],
            None, {},
        ]),
    ],
)  # fmt: skip
def test_forms__refuse(name: str, bad: list[object]) -> None:
    """What lacks the form is refused by name, on one line."""
    for value in bad:
        refusal(name, value)


def test_forms__name_the_bad_item() -> None:
    """The bad item of a list is named by its place."""
    rule = 'worker.channels[1]: must match [a-z][a-z0-9_]{0,31}, not "B" (from here)'
    assert refusal("worker.channels", ["a", "B"]) == rule


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"retry": {"backoff_min_ms": 9, "backoff_max_ms": 8}},
         "retry.backoff_min_ms: must not exceed retry.backoff_max_ms, but 9 is more than 8"),
        ({"retry": {"backoff_max_ms": 999}},
         "retry.backoff_min_ms: must not exceed retry.backoff_max_ms, but 1000 is more than 999"),
        ({"redis": {"cluster": True, "sentinels": ["h:1"]}},
         "redis.cluster: must be false with redis.sentinels: a deployment uses a cluster or "
         "sentinels"),
        ({"redis": {"cluster": True, "url": "unix:///s"}},
         "redis.url: must be a TCP address with redis.cluster"),
        ({"redis": {"sentinels": ["h:1"], "url": "embedded"}},
         "redis.url: must be a TCP address with redis.sentinels"),
        ({"redis": {"cluster": True, "url": "redis://h/1"}},
         "redis.url: must use database 0, the only one of a cluster"),
        ({"gateway": {"stream": "x"}, "worker": {"shards": 2}},
         "gateway.stream: must be empty with several shards or a cluster: each shard has its own "
         "stream"),
        ({"redis": {"url": "rediss://h", "tls_cert": __file__}},
         "redis.tls_cert: needs redis.tls_key too"),
        ({"redis": {"url": "rediss://h", "tls_key": __file__}},
         "redis.tls_key: needs redis.tls_cert too"),
        ({"redis": {"tls_ca": __file__}},
         "redis.tls_ca: needs a redis.url that begins with rediss:// or valkeys://"),
        ({"redis": {"url": "rediss://h", "tls_ca": "/no/such/file"}},
         "redis.tls_ca: cannot read /no/such/file"),
    ],
)  # fmt: skip
def test_rules__between_settings(tables: dict[str, Any], line: str) -> None:
    """Settings that do not fit each other are told in the name of the first."""
    with pytest.raises(ConfigurationError) as error:
        settings_from(tables, source="here")
    assert str(error.value) == f"{line} (from here)"


def test_rules__hold_at_their_edges() -> None:
    """Equal delays, a named stream on one shard and TLS with its files are fine."""
    settings_from({"retry": {"backoff_min_ms": 8, "backoff_max_ms": 8}})
    settings_from({"gateway": {"stream": "x"}, "worker": {"shards": 1}})
    tls = {"url": "rediss://h", "tls_ca": __file__, "tls_cert": __file__, "tls_key": __file__}
    settings_from({"redis": tls})


def test_settings__cannot_be_changed() -> None:
    """Settings stay what they were at the start."""
    settings = load_settings(None, environ={})
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.slots = 3  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize("path", ["/no\nsuch", "a\0b", "\ud800"])
def test_rules__name_any_path(path: str) -> None:
    """A text that is no path of a readable file is told on one line that can be printed."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"redis": {"url": "rediss://h", "tls_ca": path}}, source="here")
    (line,) = str(error.value).splitlines()
    assert line.isprintable()
    assert line.startswith("redis.tls_ca: cannot read ")


def test_settings__read_nothing_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process's own environment counts only where none is passed."""
    (tmp_path / "redis__username").write_text("credential")
    monkeypatch.setenv("GALAXY_NOTIFY_REDIS__PREFIX", "mine")
    monkeypatch.setenv("REDIS", '{"prefix": "other"}')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Settings().masked() == settings_from({}).masked() == DEFAULTS
    assert load_settings(None, environ={}).masked() == DEFAULTS
    redis = load_settings(None).redis
    assert (redis.prefix, redis.username) == ("mine", "credential")


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
NAMES = st.sampled_from([(s, f) for s, fields in DEFAULTS.items() for f in fields])


@given(st.dictionaries(NAMES, ANY, max_size=4))
def test_settings__meet_whatever_comes(values: dict[tuple[str, str], object]) -> None:
    """Whatever is set, there are settings, or lines that can be printed and name a setting."""
    tables: dict[str, dict[str, object]] = {}
    for (section, field), value in values.items():
        tables.setdefault(section, {})[field] = value
    try:
        settings_from(tables)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            line.encode()
            assert re.match(r"\w+\.\w+(\[\d+\])?: ", line)
