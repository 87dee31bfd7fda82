"""The sample of the settings file is the settings, all of them, explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from galaxy_notify.settings import defaults_toml, load_settings, settings_from
from galaxy_notify.settings.channel_kinds import MODELS
from galaxy_notify.settings.sample import kinds_toml
from galaxy_notify.settings.sources import SECTIONS
from galaxy_notify.settings.values import MASK
from tests.support.settings import (
    APPRISE_DEFAULTS,
    CHANNEL_DEFAULTS,
    DEFAULTS,
    EMAIL_DEFAULTS,
    NEEDED,
    NUMBERS,
    WEB_PUSH_DEFAULTS,
    WEBHOOK_DEFAULTS,
)

KINDS = {
    "log": CHANNEL_DEFAULTS,
    "webhook": WEBHOOK_DEFAULTS,
    "email": EMAIL_DEFAULTS,
    "web_push": WEB_PUSH_DEFAULTS,
    "apprise": APPRISE_DEFAULTS,
    "my_package.module:send": CHANNEL_DEFAULTS,
}
SECRETS = {"private_key": MASK, "urls": [MASK]}

SAMPLE = Path(__file__).parents[3] / "config" / "galaxy_notify.toml"


def test_defaults__are_the_contract() -> None:
    """Without any source every setting has its default, and says so."""
    settings = load_settings(None, environ={})
    assert settings.masked() == DEFAULTS
    assert set(settings.sources.values()) == {"default"}
    assert set(settings.sources) == {f"{s}.{f}" for s, fields in DEFAULTS.items() for f in fields}


def test_sample__is_the_defaults() -> None:
    """The sample that is shipped is the one the settings print, and holds every default."""
    text = SAMPLE.read_text(encoding="utf-8")
    assert text == defaults_toml()
    assert load_settings(str(SAMPLE), environ={}).masked() == DEFAULTS


def test_sample__names_every_setting_once() -> None:
    """With its commented-out settings made live, the sample is a file that names them all."""
    text = defaults_toml().partition("# [channels.NAME]")[0]
    live = re.sub(r'^# (\w+ = "")$', r"\1", text, flags=re.MULTILINE)
    tables = tomllib.loads(live)
    assert {section: list(fields) for section, fields in tables.items()} == {
        section: list(fields) for section, fields in DEFAULTS.items()
    }
    assert settings_from(tables).masked() == DEFAULTS


def test_sample__has_a_channel_of_each_kind() -> None:
    """With its comments made live, each section of a channel has every setting of its kind."""
    _, *blocks = defaults_toml().split("# [channels.NAME]\n")
    found = {}
    for number, block in enumerate(blocks):
        live = re.findall(r"^# (\w+ = .*)$", block, re.MULTILINE)
        found[f"own{number}"] = tomllib.loads("\n".join(live))
        live_kind = str(found[f"own{number}"]["kind"])
        found[f"own{number}"].update(NEEDED.get(live_kind, {}))
    worker = {"channels": ["push", *found]}
    settings = settings_from({"worker": worker, "channels": found})
    assert [channel.kind for channel in settings.channels.values()] == [*KINDS]
    for name, (kind, defaults) in zip(found, KINDS.items(), strict=True):
        shown = settings.masked()[f"channels.{name}"]
        needed = {field: SECRETS.get(field, value) for field, value in NEEDED.get(kind, {}).items()}
        assert shown == {"kind": kind, **defaults, **needed}
        assert list(shown) == list(found[name])


def test_sample__explains_the_settings_of_channels() -> None:
    """Each has its own comment where it first appears, and each number its bounds in it."""
    text = kinds_toml().replace("\n# ", " ")
    for model in MODELS:
        for field, info in model.model_fields.items():
            assert info.description, field
            assert text.count(f"{info.description} ") == 1 or field == "kind"
            assert f"# {field} = " in kinds_toml(explained=False)
    assert max(map(len, kinds_toml().splitlines())) <= 100


def test_sample__explains_every_setting_and_bound() -> None:
    """Each setting has its own comment, and each number its bounds in it."""
    text = defaults_toml()
    assert max(map(len, text.splitlines())) <= 100
    for section, model in SECTIONS.items():
        for field, info in model.model_fields.items():
            assert info.description, field
            assert re.search(rf"^# .*\n(# )?{field} = ", text, re.MULTILINE), section
    for _, least, most in NUMBERS:
        assert f"{least} to {most}." in text.replace("\n# ", " ")
