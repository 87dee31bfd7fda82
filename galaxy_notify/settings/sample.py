"""The sample settings file, generated from the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import wrap

from pydantic.fields import FieldInfo

from galaxy_notify.settings.channel_kinds import MODELS
from galaxy_notify.settings.loading import bounds
from galaxy_notify.settings.sources import SECTIONS

_HEADER = """\
# galaxy-notify: every setting at its default.
#
# Read from the file given by --config, else $GALAXY_NOTIFY_CONFIG, else
# /etc/galaxy-notify/galaxy_notify.toml. The file needs only the settings that differ from these
# defaults. Credential files <section>__<field> in $CREDENTIALS_DIRECTORY (redis__password)
# override the file; environment variables GALAXY_NOTIFY_<SECTION>__<FIELD> override both
# (GALAXY_NOTIFY_WORKER__SHARDS=4; a list as JSON or with commas). For a channel's section they are
# channels__<name>__<field> and GALAXY_NOTIFY_CHANNELS__<NAME>__<FIELD>. Unknown settings are
# errors.
#
#   galaxy-notify config check      lists all invalid settings
#   galaxy-notify config show       shows every setting and its source
#   galaxy-notify config defaults   prints this file
#
# Durations are in milliseconds. Settings without a default are commented out.
"""
#: The columns of a line of the sample.
WIDTH = 100


def defaults_toml() -> str:
    """Return a settings file that holds every default, each with what it means."""
    return "\n".join([_HEADER + "".join(_section(name) for name in SECTIONS), kinds_toml()])


def kinds_toml(*, explained: bool = True, width: int = WIDTH) -> str:
    """Return the section of a channel of each kind, commented out; *width* is that of a line.

    A setting is explained where it first appears, and again where it means something else.
    """
    lines = [
        *_comment(
            "External channels: a section for each, whose name must be in worker.channels. "
            "A channel without a section is a stream channel. Its kind decides which settings it "
            "has.",
            width,
        )
    ]
    said: set[str] = set()
    for number, model in enumerate(MODELS):
        lines += [""] if number else []
        lines += [*_comment(model.__doc__ or "", width), "# [channels.NAME]"]
        for name, field in model.model_fields.items():
            text = _meaning(field)
            lines += _comment(text, width) if explained and text not in said else ()
            lines += _comment(_assignment(name, field), width, "  ")
            said.add(text)
    return "\n".join(lines) + "\n"


def _section(name: str) -> str:
    model = SECTIONS[name]
    lines = ["", *_comment(model.__doc__ or ""), f"[{name}]"]
    for field, info in model.model_fields.items():
        lines += _setting(field, info)
    return "\n".join(lines) + "\n"


def _setting(name: str, field: FieldInfo) -> Iterator[str]:
    yield from _comment(_meaning(field))
    is_unset = field.get_default(call_default_factory=True) is None
    yield f"{'# ' if is_unset else ''}{_assignment(name, field)}"


def _meaning(field: FieldInfo) -> str:
    limits = bounds(field)
    text = field.description or ""
    return f"{text} {limits[0]} to {limits[1]}." if limits else text


def _assignment(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return f'{name} = "my_package.module:send"'
    value = field.get_default(call_default_factory=True)
    # JSON and TOML write truth values, numbers, plain text and lists of it alike.
    shown = json.dumps(value, ensure_ascii=False)
    return f'{name} = ""' if value is None else f"{name} = {shown}"


def _comment(text: str, width: int = WIDTH, indent: str = "") -> Iterator[str]:
    """Yield the lines of a comment; those behind the first one begin with *indent*."""
    lines = wrap(
        text,
        width - 2,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        yield f"# {line}"
