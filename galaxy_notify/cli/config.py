"""``config``: the settings that hold, what is wrong with them, and their defaults."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.config_token import hash_token
from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.ending import Exit, printable
from galaxy_notify.cli.output import echo, echo_json, faint, good, note, table
from galaxy_notify.cli.screen import wrapped
from galaxy_notify.errors import ConfigurationError

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings


@click.group("config")
def command() -> None:
    """Show and check the settings."""


@command.command("show")
@json_option
@pass_application
def show(app: Application, as_json: bool) -> None:
    """Show every setting with its value and where it came from; secrets stay hidden."""
    rows = list(_rows(app))
    if as_json:
        echo_json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    shown = [
        (name, printable(_toml(value)), faint(source) if source == "default" else printable(source))
        for name, value, source in rows
    ]
    for line in table(("setting", "value", "from"), shown, whole=("setting",)):
        echo(line)


@command.command("check")
@json_option
@pass_application
def check(app: Application, as_json: bool) -> int:
    """Say everything that is wrong with the settings; 78 when something is.

    Also tries what run and serve try before they ask Redis: it imports the encoder, reads keys, and
    looks for the embedded server.
    """
    problems: list[str] = []
    try:
        rows = list(_rows(app))
        problems = _start_problems(app.settings)
    except ConfigurationError as error:
        problems = str(error).splitlines()
    if as_json:
        echo_json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            note(printable(problem))
    else:
        changed = _changed(rows)
        names = f": {', '.join(changed)}" if changed else ""
        told = f"{len(rows)} settings, {len(changed)} of them not at their default{names}"
        echo("\n".join(wrapped(told, first=f"{good('ok')}: ", indent="  ")))
    return Exit.CONFIG if problems else Exit.OK


@command.command("defaults")
@json_option
def defaults(as_json: bool) -> None:
    """Print a settings file that holds every default, each with what it means."""
    from galaxy_notify.settings import Settings, defaults_toml

    if as_json:
        echo_json(Settings().masked())
    else:
        echo(defaults_toml().rstrip("\n"))


command.add_command(hash_token)


def _start_problems(settings: Settings) -> list[str]:
    from galaxy_notify.cli import serve
    from galaxy_notify.operations.starting import start_problems

    return [*start_problems(settings, os.environ), *serve.problems(settings)]


def _changed(rows: Iterable[tuple[str, object, str]]) -> list[str]:
    """Name the settings whose value is another than the default, wherever it is written."""
    from galaxy_notify.settings import Settings

    usual = Settings().masked()
    return [
        name
        for name, value, _ in rows
        if value != usual[name.partition(".")[0]][name.partition(".")[2]]
    ]


def _rows(app: Application) -> Iterator[tuple[str, object, str]]:
    sources = app.settings.sources
    for section, fields in app.settings.masked().items():
        for field, value in fields.items():
            name = f"{section}.{field}"
            yield name, value, sources.get(name, "default")


def _toml(value: object) -> str:
    return "–" if value is None else json.dumps(value, ensure_ascii=False)
