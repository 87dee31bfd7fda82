"""What the sources say of the sections ``channels.NAME``, until each one's kind is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import CHANNEL
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.refusals import shown
from galaxy_notify.settings.channel_kinds import KINDS, MODELS, channel_model
from galaxy_notify.settings.channels import ChannelSettings

#: The table that holds these sections.
CHANNELS: Final = "channels"
_KINDS: Final = f"{', '.join(KINDS)} or module:attribute"


class Given(NamedTuple):
    """A value as a source has it; *is_text* if it is not of the kind that the setting wants yet."""

    value: Any
    source: str
    is_text: bool


class ChannelTable(NamedTuple):
    """The values of one section, the settings of its kind, and its name, ``channels.NAME``."""

    section: str
    model: type[ChannelSettings]
    values: Mapping[str, Given]


class ChannelTables:
    """The values of all sources by channel and setting; the strongest source comes last."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Given]] = {}

    def take_table(self, tables: object, source: str) -> Iterator[str]:
        """Take ``[channels.NAME]`` tables as a TOML file holds them; yield what is wrong."""
        if not isinstance(tables, Mapping):
            yield f"{CHANNELS}: must hold tables, [{CHANNELS}.NAME] (from {source})"
            return
        for channel, table in tables.items():
            if isinstance(table, Mapping):
                for name, value in table.items():
                    yield from self._take(channel, name, Given(value, source, is_text=False))
            else:
                place = printable(f"{CHANNELS}.{channel}")
                yield f"{place}: must be a table, [{place}] (from {source})"

    def take_text(self, name: str, text: str, source: str) -> Iterator[str]:
        """Take the value of ``NAME__FIELD``; yield what is wrong.

        The last ``__`` divides, because the name of a channel may hold some.
        """
        channel, separator, setting = name.rpartition("__")
        if separator:
            yield from self._take(channel, setting, Given(text, source, is_text=True))
        else:
            place = printable(f"{CHANNELS}.{name}")
            yield f"{place}: must be channels__NAME__FIELD (from {source})"

    def read(self) -> tuple[list[ChannelTable], list[str]]:
        """Return the table of each channel that has a kind, and what is wrong."""
        tables: list[ChannelTable] = []
        problems: list[str] = []
        for channel, values in self._values.items():
            section = f"{CHANNELS}.{channel}"
            kind = values.get("kind")
            model = channel_model(kind.value) if kind else None
            if kind is None or model is None:
                problems.append(_wrong_kind(section, kind, values))
                continue
            foreign = [name for name in values if _is_foreign(name, model)]
            for name in foreign:
                rule = f"is no setting of kind {shown(kind.value)}"
                problems.append(f"{section}.{name}: {rule} (from {values[name].source})")
            own = {name: given for name, given in values.items() if name not in foreign}
            tables.append(ChannelTable(section, model, own))
        return tables, problems

    def _take(self, channel: object, name: str, given: Given) -> Iterator[str]:
        if isinstance(channel, str) and re.fullmatch(CHANNEL, channel):
            self._values.setdefault(channel, {})[name] = given
        else:
            place = printable(f"{CHANNELS}.{channel}")
            yield f"{place}: the name must match {CHANNEL} (from {given.source})"


def _wrong_kind(section: str, kind: Given | None, values: Mapping[str, Given]) -> str:
    if kind is None:
        sources = dict.fromkeys(given.source for given in values.values())
        return f"{section}.kind: must be set to {_KINDS} (from {' and '.join(sources)})"
    return f"{section}.kind: must be {_KINDS}, not {shown(kind.value)} (from {kind.source})"


def _is_foreign(name: str, model: type[ChannelSettings]) -> bool:
    """Return whether a setting is one of another kind only."""
    return name not in model.model_fields and any(name in kind.model_fields for kind in MODELS)
