"""Where values come from: the settings file, credential files and the environment."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.json_data import is_carried, printable
from galaxy_notify.settings.sections import Section, Settings
from galaxy_notify.settings.values import credential_text

VARIABLE_PREFIX = "GALAXY_NOTIFY_"
FILE_VARIABLE = "GALAXY_NOTIFY_CONFIG"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
DEFAULT_FILE = Path("/etc/galaxy-notify/galaxy_notify.toml")

SECTIONS: Mapping[str, type[Section]] = {
    name: cast("type[Section]", field.annotation) for name, field in Settings.model_fields.items()
}
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True} | {
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Found(NamedTuple):
    """A value as it was found, and where."""

    value: object
    source: str


Place: TypeAlias = tuple[str, str]
Problems: TypeAlias = list[str]


class Layer(NamedTuple):
    """What one source holds: values by section and field, and what is wrong with it."""

    values: dict[Place, Found]
    problems: Problems


def all_layers(config: str | None, environ: Mapping[str, str]) -> list[Layer]:
    """Read every source, the weakest first."""
    path = _settings_file(config, environ)
    file = [read_file(path)] if path else []
    return [*file, read_credentials(environ), read_environment(environ)]


def field_of(place: Place) -> FieldInfo:
    """Return the declaration of a setting that exists."""
    return SECTIONS[place[0]].model_fields[place[1]]


def read_mapping(values: Mapping[str, Any], source: str) -> Layer:
    """Read tables of sections, as a TOML file holds them."""
    layer = Layer({}, [])
    for section, table in values.items():
        if section not in SECTIONS:
            layer.problems.append(_unknown(section, "section", SECTIONS, source))
        elif not isinstance(table, Mapping):
            layer.problems.append(f"{section}: must be a table, [{section}] (from {source})")
        else:
            for field, value in table.items():
                _put(layer, (section, field), value, source)
    return layer


def read_file(path: Path) -> Layer:
    """Read a settings file; raise ``ConfigurationError`` when it cannot be read as TOML."""
    try:
        with path.open("rb") as file:
            return read_mapping(tomllib.load(file), str(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}: line {line} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None


def read_credentials(environ: Mapping[str, str]) -> Layer:
    """Read the credential files named after a setting; others are not ours."""
    layer = Layer({}, [])
    directory = environ.get(CREDENTIALS_VARIABLE)
    for path in _files_in(directory) if directory else []:
        section, separator, field = path.name.partition("__")
        if separator and section in SECTIONS:
            _read_credential(layer, (section, field), path)
    return layer


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables with our prefix; one that names no setting is a problem."""
    layer = Layer({}, [])
    for variable, text in sorted(environ.items()):
        if not variable.startswith(VARIABLE_PREFIX) or variable == FILE_VARIABLE:
            continue
        name = variable.removeprefix(VARIABLE_PREFIX)
        section, separator, field = name.lower().partition("__")
        if not separator or name != name.upper():
            form = f"{VARIABLE_PREFIX}<SECTION>__<FIELD>"
            layer.problems.append(f"{printable(variable)}: unknown variable, none is {form}")
        elif section not in SECTIONS:
            layer.problems.append(_unknown(section, "section", SECTIONS, variable))
        else:
            _put_text(layer, (section, field), text, variable)
    return layer


def _settings_file(config: str | None, environ: Mapping[str, str]) -> Path | None:
    named = config if config is not None else environ.get(FILE_VARIABLE) or None
    if named is not None:
        return Path(named)
    # Path.exists raises where a directory above may not be searched.
    return DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None


def _files_in(directory: str) -> list[Path]:
    try:
        return sorted(Path(directory).iterdir())
    except OSError as error:
        name = f"{directory} (${CREDENTIALS_VARIABLE})"
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from None


def _read_credential(layer: Layer, place: Place, path: Path) -> None:
    try:
        _put_text(layer, place, credential_text(path), str(path))
    except OSError as error:
        layer.problems.append(f"{'.'.join(place)}: cannot be read: {error.strerror} (from {path})")
    except UnicodeDecodeError:
        layer.problems.append(f"{'.'.join(place)}: must be UTF-8 text (from {path})")


def _put(layer: Layer, place: Place, value: object, source: str) -> None:
    section, field = place
    if field not in SECTIONS[section].model_fields:
        known = SECTIONS[section].model_fields
        layer.problems.append(_unknown(f"{section}.{field}", "setting", known, source))
        return
    unset = value == "" and field_of(place).default is None
    layer.values[place] = Found(None if unset else value, source)


def _put_text(layer: Layer, place: Place, text: str, source: str) -> None:
    if not is_carried(text):
        layer.problems.append(f"{printable('.'.join(place))}: must be UTF-8 text (from {source})")
        return
    known = place[1] in SECTIONS[place[0]].model_fields
    _put(layer, place, _value_of(text, field_of(place).annotation) if known else text, source)


def _value_of(text: str, wanted: object) -> object:
    """Turn text into the kind of value wanted; text that is none stays, to be refused."""
    if wanted is int and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if wanted is bool:
        return _TRUTHS.get(text.lower(), text)
    if str(wanted).startswith("tuple["):
        return _list_of(text)
    return text


def _list_of(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _unknown(name: str, kind: str, known: Mapping[str, object], source: str) -> str:
    near = get_close_matches(name.rpartition(".")[2], known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{printable(name)}: unknown {kind}{hint} (from {printable(source, 4096)})"


def is_secret(field: FieldInfo) -> bool:
    """Say whether a setting must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))
