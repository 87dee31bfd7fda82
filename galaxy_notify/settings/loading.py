"""Load the settings, or say everything that is wrong with them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.json_data import kind_of
from galaxy_notify.model.refusals import shown
from galaxy_notify.settings.broken_rule import BrokenRule
from galaxy_notify.settings.channel_kinds import EmailChannel
from galaxy_notify.settings.channel_tables import CHANNELS
from galaxy_notify.settings.sections import Settings
from galaxy_notify.settings.sources import (
    CREDENTIALS_VARIABLE,
    SECTIONS,
    Reading,
    is_secret,
    settings_file,
)
from galaxy_notify.settings.validation import broken_rules
from galaxy_notify.settings.values import EMBEDDED


def load_settings(
    config: str | None, *, environ: Mapping[str, str] | None = None, embedded: bool = False
) -> Settings:
    """Load the settings: the environment over credential files over the settings file.

    Raise ``ConfigurationError`` with one line per problem, each naming setting and source.
    """
    environ = os.environ if environ is None else environ
    given = {"redis": {"url": EMBEDDED}} if embedded else {}
    settings = _settings(Reading(settings_file(config, environ), environ, given, "--embedded"))
    if directory := environ.get(CREDENTIALS_VARIABLE):
        _watch_credentials(settings, directory)
    return settings


def _watch_credentials(settings: Settings, directory: str) -> None:
    """Let secrets from credential files be read again, so that they can be renewed."""
    for name, section in (("redis", settings.redis), ("feed", settings.feed)):
        path = Path(directory, f"{name}__password")
        if settings.sources[f"{name}.password"] == str(path):
            section._password_file = path
    for name, channel in settings.channels.items():
        path = Path(directory, f"channels__{name}__password")
        is_from = settings.sources.get(f"channels.{name}.password") == str(path)
        if isinstance(channel, EmailChannel) and is_from:
            channel._password_file = path
    path = Path(directory, "contacts__keys")
    if settings.sources["contacts.keys"] == str(path):
        settings.contacts._keys_file = path


def settings_from(values: Mapping[str, Mapping[str, Any]], *, source: str = "argument") -> Settings:
    """Make settings of tables given by a program, under the same checks as a file's."""
    return _settings(Reading(given=values, giver=source))


def _settings(reading: Reading) -> Settings:
    settings, wrong = _validated(reading)
    for broken in broken_rules(settings):
        if wrong.isdisjoint(broken.fields):
            reading.problems.append(_rule_text(broken, reading.origins))
    if reading.problems:
        raise ConfigurationError("\n".join(reading.problems))
    names = (f"{name}.{field}" for name, section in settings.sections() for field, _ in section)
    settings._sources.update(dict.fromkeys(names, "default") | reading.origins)
    return settings


def _validated(reading: Reading) -> tuple[Settings, set[str]]:
    """Validate each value; a wrong one is reported, and replaced by its default for other rules."""
    reading.read()
    wrong: set[str] = set()
    channels: dict[str, object] = {}
    for section, model in reading.models.items():
        if section not in SECTIONS:
            name, table = section.partition(".")[2], reading.tables[section]
            try:
                channels[name] = model.model_validate(table)
            except ValidationError as error:
                wrong |= _report(error, reading, section)
                channels[name] = model.model_validate(table)
    tables = {name: reading.tables.get(name, {}) for name in SECTIONS} | {CHANNELS: channels}
    try:
        # Sections that are named, if only with nothing in them, need no schema of their own.
        return Settings.model_validate(tables), wrong
    except ValidationError as error:
        wrong |= _report(error, reading)
    return Settings.model_validate(tables), wrong


def _report(error: ValidationError, reading: Reading, *section: str) -> set[str]:
    """Report and remove each wrong value; return the names of their settings."""
    wrong: set[str] = set()
    for fault in error.errors(include_url=False):
        home, field, *rest = (*section, *map(str, fault["loc"]))
        name = f"{home}.{field}"
        wrong.add(name)
        reading.tables[home].pop(field, None)
        place = name + "".join(f"[{step}]" for step in rest)
        rule = _rule(name, reading.models[home].model_fields[field], fault)
        reading.problems.append(f"{place}: {rule} (from {reading.origins[name]})")
    return wrong


def _rule(name: str, field: FieldInfo, fault: Mapping[str, Any]) -> str:
    """Return which rule a value breaks, and the value where it may be shown."""
    kind, value = fault["type"], fault["input"]
    if kind == "value_error":
        rule = str(fault["ctx"]["error"])
    else:
        rule = _KINDS.get(kind) or _expected(field)
        if kind == "tuple_type" and int in get_args(field.annotation):
            rule = "must be a list of numbers"
    if kind == "value_error" and isinstance(value, list | tuple):
        return rule
    if is_secret(field) or name.endswith(".url"):
        return rule if isinstance(value, str) else f"{rule}, not {kind_of(value)}"
    return f"{rule}, not {shown(value)}"


_KINDS = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "path_type": "must be a path",
    "tuple_type": "must be a list of text",
}


def bounds(field: FieldInfo) -> tuple[object, object] | None:
    """Return the least and the greatest value of a number, or None where there are none."""
    least = [rule.ge for rule in field.metadata if isinstance(rule, Ge)]
    most = [rule.le for rule in field.metadata if isinstance(rule, Le)]
    return (least[0], most[0]) if least and most else None


def _expected(field: FieldInfo) -> str:
    if limits := bounds(field):
        return "must be at least {} and at most {}".format(*limits)
    if get_origin(field.annotation) is not Literal:
        return "is not valid"
    return "must be one of " + ", ".join(f'"{choice}"' for choice in get_args(field.annotation))


def _rule_text(broken: BrokenRule, origins: Mapping[str, str]) -> str:
    named = dict.fromkeys(origins[name] for name in broken.fields if name in origins)
    return f"{broken.fields[0]}: {broken.message} (from {' and '.join(named)})"
