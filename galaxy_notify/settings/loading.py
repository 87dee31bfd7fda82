"""Load the settings, or say everything that is wrong with them at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.json_data import kind_of
from galaxy_notify.model.refusals import shown
from galaxy_notify.settings.rules import Broken, broken_rules
from galaxy_notify.settings.sections import Settings
from galaxy_notify.settings.sources import (
    CREDENTIALS_VARIABLE,
    SECTIONS,
    Found,
    Layer,
    Place,
    Problems,
    all_layers,
    field_of,
    is_secret,
    read_mapping,
)
from galaxy_notify.settings.values import EMBEDDED

Values = dict[Place, Found]


def load_settings(
    config: str | None, *, environ: Mapping[str, str] | None = None, embedded: bool = False
) -> Settings:
    """Load the settings: the environment over credential files over the settings file.

    Raise ``ConfigurationError`` with one line per problem, each naming setting and source.
    """
    environ = os.environ if environ is None else environ
    layers = all_layers(config, environ)
    if embedded:
        layers.append(Layer({("redis", "url"): Found(EMBEDDED, "--embedded")}, []))
    settings = _settings(layers)
    _remember_password_file(settings, environ)
    return settings


def settings_from(values: Mapping[str, Mapping[str, Any]], *, source: str = "argument") -> Settings:
    """Make settings of tables given by a program, under the same checks as a file's."""
    return _settings([read_mapping(values, source)])


def _settings(layers: Iterable[Layer]) -> Settings:
    values: Values = {}
    problems: Problems = []
    for layer in layers:
        values.update(layer.values)
        problems += layer.problems
    settings, wrong = _validated(values, problems)
    for broken in broken_rules(settings):
        if wrong.isdisjoint(broken.fields):
            problems.append(_told(broken, values))
    if problems:
        raise ConfigurationError("\n".join(problems))
    settings._sources.update(_sources(values))
    return settings


def _validated(values: Values, problems: Problems) -> tuple[Settings, set[str]]:
    """Validate each value; what is wrong is told, and left at its default for the other rules."""
    try:
        return Settings.model_validate(_tables(values)), set()
    except ValidationError as error:
        faults = error.errors(include_url=False)
    wrong: set[Place] = set()
    for fault in faults:
        section, field, *rest = fault["loc"]
        place = (str(section), str(field))
        wrong.add(place)
        name = ".".join(place) + "".join(f"[{step}]" for step in rest)
        problems.append(f"{name}: {_rule(place, fault)} (from {values[place].source})")
    good = {place: found for place, found in values.items() if place not in wrong}
    return Settings.model_validate(_tables(good)), {".".join(place) for place in wrong}


def _tables(values: Values) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for (section, field), found in values.items():
        tables[section][field] = found.value
    return tables


def _rule(place: Place, fault: Mapping[str, Any]) -> str:
    """Say which rule a value breaks, and the value where it may be shown."""
    field, kind, value = field_of(place), fault["type"], fault["input"]
    if kind == "value_error":
        rule = str(fault["ctx"]["error"])
    else:
        rule = _KINDS.get(kind) or _expected(field)
    if kind == "value_error" and isinstance(value, list | tuple):
        return rule
    if is_secret(field) or place == ("redis", "url"):
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


def _told(broken: Broken, values: Values) -> str:
    places = [tuple(name.split(".", 1)) for name in broken.fields]
    sources = [values[(a, b)].source for a, b in places if (a, b) in values]
    origin = " and ".join(dict.fromkeys(sources))
    return f"{broken.fields[0]}: {broken.message} (from {origin})"


def _sources(values: Values) -> dict[str, str]:
    return {
        f"{section}.{field}": values[section, field].source
        if (section, field) in values
        else "default"
        for section, model in SECTIONS.items()
        for field in model.model_fields
    }


def _remember_password_file(settings: Settings, environ: Mapping[str, str]) -> None:
    directory = environ.get(CREDENTIALS_VARIABLE)
    path = Path(directory or "") / "redis__password"
    if directory and settings.sources["redis.password"] == str(path):
        settings.redis._password_file = path
