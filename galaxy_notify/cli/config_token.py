"""``config hash-token``: a token of the HTTP API as the settings keep it."""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from typing import Final

import click

from galaxy_notify.cli.context import interruptible, json_option
from galaxy_notify.cli.output import echo, echo_json, note
from galaxy_notify.cli.standard_streams import is_terminal, standard_input

# As RFC 6750 has it. A quick hash keeps only what nobody can guess: short ones are refused.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")
_LONGEST: Final = 4096
_RULE: Final = (
    "a token has 32 or more of A-Z a-z 0-9 . _ ~ + / - and should be random: openssl rand -hex 32"
)


@click.command("hash-token")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["producer", "operator", "read-only"]),
    help="What its bearer may do. May be repeated.",
)
@click.option(
    "--producer",
    "producers",
    multiple=True,
    metavar="NAME",
    help="Bind it to what this producer hands in. May be repeated.",
)
@json_option
@interruptible
def hash_token(
    name: str, scopes: tuple[str, ...], producers: tuple[str, ...], as_json: bool
) -> None:
    """Print the entry of `http.tokens` for a token, which is read from standard input.

    NAME is who calls with it. At a terminal the token is asked for and not shown.
    """
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
        told = {"name": name, "scopes": list(dict.fromkeys(scopes)), "entry": entry}
        echo_json(told | ({"producers": bound} if bound else {}))
        return
    echo(entry)
    if is_terminal(sys.stdout):
        note(f'put it into the settings: [http] tokens = ["{entry}"]')


def _token() -> str:
    given = standard_input()
    if is_terminal(sys.stdin):
        token: str = click.prompt("Token", hide_input=True, err=True)
    else:
        token = given.read(_LONGEST).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise click.UsageError(_RULE)
    return token
