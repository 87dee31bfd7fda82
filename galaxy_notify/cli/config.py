"""``config``: the settings that hold, what is wrong with them, and their defaults."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

import click

from galaxy_notify.cli.context import Application, interruptible, json_option, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import echo, echo_json, echo_table, note
from galaxy_notify.cli.screen import faint, good, line_width, printable, wrapped
from galaxy_notify.cli.selection import repeated
from galaxy_notify.cli.standard_streams import is_terminal, standard_input
from galaxy_notify.errors import ConfigurationError

# As RFC 6750 has it. A quick hash protects only what cannot be guessed: short ones are refused.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")
_LONGEST: Final = 4096
_RULE: Final = (
    "a token has 32 or more of A-Z a-z 0-9 . _ ~ + / - and should be random: openssl rand -hex 32"
)


@click.group("config")
def command() -> None:
    """Show and check the settings."""


@command.command("show")
@with_json
def show(app: Application, as_json: bool) -> None:
    """Show every setting, its value and its source; secrets are masked.

    The settings of a channel of each kind follow, commented out.
    """
    from galaxy_notify.settings.sample import WIDTH, kinds_toml

    rows = list(_rows(app))
    if as_json:
        echo_json({name: {"value": value, "source": source} for name, value, source in rows})
        return
    shown = []
    for name, value, source in rows:
        text = "–" if value is None else printable(json.dumps(value, ensure_ascii=False))
        shown.append((name, text, faint(source) if source == "default" else printable(source)))
    echo_table(("setting", "value", "from"), shown, whole=("setting",))
    echo("")
    kinds = kinds_toml(explained=False, width=line_width() or WIDTH)
    echo(faint(kinds.rstrip("\n")))


@command.command("check")
@with_json
def check(app: Application, as_json: bool) -> int:
    """Check the settings and list all errors; exit code 78 if there are any.

    Also runs the checks that run, serve, gateway and feed make before they connect to Redis:
    imports the encoder, reads the keys and looks for the embedded server.
    """
    from galaxy_notify.cli import feed, gateway, serve
    from galaxy_notify.operations.starting import start_problems

    try:
        rows = list(_rows(app))
        problems = [
            *start_problems(app.settings, os.environ),
            *serve.problems(app.settings),
            *gateway.problems(app.settings),
            *feed.problems(app.settings),
        ]
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
        summary = f"{len(rows)} settings, {len(changed)} changed from the default{names}"
        echo("\n".join(wrapped(summary, first=f"{good('ok')}: ", indent="  ")))
    return Exit.CONFIG if problems else Exit.OK


@command.command("defaults")
@json_option
def defaults(as_json: bool) -> None:
    """Print a settings file with every default, with explanations."""
    from galaxy_notify.settings import Settings, defaults_toml

    if as_json:
        echo_json(Settings().masked())
    else:
        echo(defaults_toml().rstrip("\n"))


@command.command("hash-token")
@click.argument("name")
@repeated(
    "--scope",
    "scopes",
    "Scope of the token.",
    required=True,
    type=click.Choice(["producer", "operator", "read-only"]),
)
@repeated("--producer", "producers", "Limit the token to this producer.", metavar="NAME")
@json_option
@interruptible
def hash_token(
    name: str, scopes: tuple[str, ...], producers: tuple[str, ...], as_json: bool
) -> None:
    """Read a token from standard input and print its entry for `http.tokens`.

    NAME identifies the client that uses it. On a terminal, the token is prompted for and not
    echoed.
    """
    from hashlib import sha256

    from galaxy_notify.model.ids import NAME
    from galaxy_notify.settings.http import parse_token

    digest = sha256(_token().encode()).hexdigest()
    entry = f"{name}:{'+'.join(dict.fromkeys(scopes))}:{digest}"
    for option, value in [("NAME", name), *(("--producer", one) for one in producers)]:
        if not re.fullmatch(NAME, value):
            raise click.BadParameter(f"must match {NAME}", param_hint=option)
    bound = list(dict.fromkeys(producers))
    entry += f":producer={'+'.join(bound)}" if bound else ""
    parse_token(entry)
    if as_json:
        token = {"name": name, "scopes": list(dict.fromkeys(scopes)), "entry": entry}
        echo_json(token | ({"producers": bound} if bound else {}))
        return
    echo(entry)
    if is_terminal(sys.stdout):
        note(f'add it to the settings: [http] tokens = ["{entry}"]')


def _changed(rows: Iterable[tuple[str, object, str]]) -> list[str]:
    """Name the settings whose value is another than the default, wherever it is written."""
    from galaxy_notify.settings import Settings

    usual = {
        f"{section}.{field}": value
        for section, fields in Settings().masked().items()
        for field, value in fields.items()
    }
    # Those of a channel's section have no name among the defaults.
    return [
        name
        for name, value, source in rows
        if (value != usual[name] if name in usual else source != "default")
    ]


def _rows(app: Application) -> Iterator[tuple[str, object, str]]:
    sources = app.settings.sources
    for section, fields in app.settings.masked().items():
        for field, value in fields.items():
            name = f"{section}.{field}"
            yield name, value, sources.get(name, "default")


def _token() -> str:
    given = standard_input()
    if is_terminal(sys.stdin):
        token: str = click.prompt("Token", hide_input=True, err=True)
    else:
        token = given.read(_LONGEST).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise click.UsageError(_RULE)
    return token
