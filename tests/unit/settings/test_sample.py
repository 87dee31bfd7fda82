"""The sample of the settings file is the settings, all of them, explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from galaxy_notify.settings import defaults_toml, load_settings, settings_from
from galaxy_notify.settings.sources import SECTIONS
from tests.support.settings import DEFAULTS, NUMBERS

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
    live = re.sub(r'^# (\w+ = "")$', r"\1", defaults_toml(), flags=re.MULTILINE)
    tables = tomllib.loads(live)
    assert {section: list(fields) for section, fields in tables.items()} == {
        section: list(fields) for section, fields in DEFAULTS.items()
    }
    assert settings_from(tables).masked() == DEFAULTS


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
