"""Where values come from: the settings file, credential files and the environment.

Which settings a section ``channels.NAME`` has is known when all sources have been read, because any
of them may hold its kind.

Without pydantic-settings: each of its sources had to be replaced anyway, so that unknown names are
errors and every message and value names the place it came from, and importing it took a fifth of
a short command: docs/decisions/0011-settings-without-pydantic-settings.md
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.json_data import is_carried, printable
from galaxy_notify.settings.channel_tables import CHANNELS, ChannelTables
from galaxy_notify.settings.sections import Settings
from galaxy_notify.settings.values import Section, credential_text, items_of

VARIABLE_PREFIX = "GALAXY_NOTIFY_"
FILE_VARIABLE = "GALAXY_NOTIFY_CONFIG"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
DEFAULT_FILE = Path("/etc/galaxy-notify/galaxy_notify.toml")

SECTIONS: Mapping[str, type[Section]] = {
    name: cast("type[Section]", field.annotation)
    for name, field in Settings.model_fields.items()
    if name != CHANNELS
}
_NAMES = (*SECTIONS, CHANNELS)
_LONGEST_FILE = 1 << 20
_TRUTHS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


@dataclass(repr=False)
class Reading:
    """What to read the settings from, and what was found: the strongest values, and problems."""

    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    giver: str = ""
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    models: dict[str, type[Section]] = field(default_factory=lambda: dict(SECTIONS))
    channels: ChannelTables = field(default_factory=ChannelTables)

    def read(self) -> None:
        """Read every source, the weakest first, so that the strongest value of a setting stays."""
        if self.file:
            self._take_tables(_toml(self.file), str(self.file))
        if directory := self.environ.get(CREDENTIALS_VARIABLE):
            for path in _files_in(directory):
                self._take_file(path)
        for variable, text in sorted(self.environ.items()):
            if variable.startswith(VARIABLE_PREFIX) and variable != FILE_VARIABLE:
                self._take_variable(variable, text)
        self._take_tables(self.given, self.giver)
        self._take_channels()

    def _take_tables(self, values: Mapping[str, Any], source: str) -> None:
        """Take tables of sections, as a TOML file holds them."""
        for section, table in values.items():
            if section == CHANNELS:
                self.problems += self.channels.take_table(table, source)
            elif section not in SECTIONS:
                self.problems.append(_unknown(section, "section", _NAMES, source))
            elif not isinstance(table, Mapping):
                self.problems.append(f"{section}: must be a table, [{section}] (from {source})")
            else:
                for name, value in table.items():
                    self._take(section, name, value, source)

    def _take_file(self, path: Path) -> None:
        """Take the credential file of a setting; other files are ignored."""
        section, separator, name = path.name.partition("__")
        if not separator or section not in _NAMES:
            return
        try:
            self._take_text(section, name, credential_text(path), str(path))
        except OSError as error:
            problem = f"{section}.{name}: cannot be read: {error.strerror} (from {path})"
            self.problems.append(problem)
        except UnicodeDecodeError:
            self.problems.append(f"{section}.{name}: must be UTF-8 text (from {path})")

    def _take_variable(self, variable: str, text: str) -> None:
        """Take a variable with our prefix; one that names no setting is a problem."""
        name = variable.removeprefix(VARIABLE_PREFIX)
        section, separator, setting = name.lower().partition("__")
        if not separator or name != name.upper():
            form = f"{VARIABLE_PREFIX}<SECTION>__<FIELD>"
            self.problems.append(f"{printable(variable)}: unknown variable, expected {form}")
        elif section not in _NAMES:
            self.problems.append(_unknown(section, "section", _NAMES, variable))
        else:
            self._take_text(section, setting, text, variable)

    def _take_text(self, section: str, name: str, text: str, source: str) -> None:
        """Take a text as the kind of value that the setting wants."""
        if section == CHANNELS:
            self.problems += self.channels.take_text(name, text, source)
        elif is_carried(text):
            field = self.models[section].model_fields.get(name)
            self._take(section, name, _value_of(text, field.annotation) if field else text, source)
        else:
            place = printable(f"{section}.{name}")
            self.problems.append(f"{place}: must be UTF-8 text (from {source})")

    def _take(self, section: str, name: str, value: object, source: str) -> None:
        """Take a value of a section that exists; an empty text may unset it."""
        known = self.models[section].model_fields
        if name not in known:
            self.problems.append(_unknown(f"{section}.{name}", "setting", known, source))
            return
        value = None if value == "" and known[name].default is None else value
        self.tables.setdefault(section, {})[name] = value
        self.origins[f"{section}.{name}"] = source

    def _take_channels(self) -> None:
        """Take what all sources say of each channel, now that its kind is known."""
        channels, problems = self.channels.read()
        self.problems += problems
        for channel in channels:
            self.models[channel.section] = channel.model
            for name, given in channel.values.items():
                take = self._take_text if given.is_text else self._take
                take(channel.section, name, given.value, given.source)


def settings_file(config: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file to read: the one named, or else the usual one if it exists."""
    named = config if config is not None else environ.get(FILE_VARIABLE) or None
    if named is not None:
        return Path(named)
    # Path.exists raises where a directory above may not be searched.
    return DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None


def is_secret(field: FieldInfo) -> bool:
    """Return whether a setting must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_FILE + 1)
        if len(text) > _LONGEST_FILE:
            raise ConfigurationError(f"{path}: is longer than {_LONGEST_FILE:,} bytes")
        return tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}: line {line} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None


def _files_in(directory: str) -> list[Path]:
    try:
        return sorted(Path(directory).iterdir())
    except OSError as error:
        name = f"{directory} (${CREDENTIALS_VARIABLE})"
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from None


def _value_of(text: str, wanted: object) -> object:
    """Convert text to the wanted type; invalid text stays as it is, and is refused later."""
    if wanted in (int, int | None) and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if wanted is bool:
        return _TRUTHS.get(text.lower(), text)
    if not str(wanted).startswith("tuple["):
        return text
    items = items_of(text)
    if get_args(wanted)[0] is int and isinstance(items, list):
        return [_value_of(item, int) if isinstance(item, str) else item for item in items]
    return items


def _unknown(name: str, kind: str, known: Collection[str], source: str) -> str:
    from difflib import get_close_matches  # a fiftieth of a short command

    near = get_close_matches(name.rpartition(".")[2], known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{printable(name)}: unknown {kind}{hint} (from {printable(source, 4096)})"
