"""``doctor``: what endangers the guarantees, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.ending import Exit, printable
from galaxy_notify.cli.output import bad, echo, echo_json, good, plural, warn
from galaxy_notify.errors import GalaxyNotifyError

if TYPE_CHECKING:
    from galaxy_notify.operations.finding import Finding

_WIDTH: Final = 96


@click.command("doctor")
@json_option
@pass_application
def command(app: Application, as_json: bool) -> int:
    """Find what endangers the guarantees, and say what to do.

    Looks at the connection, the server, its memory and persistence, our permissions, the settings
    and the work. It changes nothing. Exit code 1 on an error; warnings are 0.
    """
    _ = app.settings  # what is wrong with them ends the command before Redis is asked
    findings: list[Finding] = []
    for finding in _findings(app):
        findings.append(finding)
        if not as_json:
            echo("\n".join(_lines(finding)))
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if as_json:
        echo_json({"ok": not errors, "findings": [asdict(finding) for finding in findings]})
    else:
        echo()
        echo(f"{plural(errors, 'error')}, {plural(warnings, 'warning')}")
    return Exit.FAILED if errors else Exit.OK


def _findings(app: Application) -> Iterator[Finding]:
    from galaxy_notify.operations.doctor import examine, unreachable

    try:
        with app.open() as place:
            yield from examine(place, app.settings)
    except GalaxyNotifyError as error:
        yield unreachable(error)


def _lines(finding: Finding) -> Iterator[str]:
    mark = {"ok": good("ok     "), "warning": warn("warning"), "error": bad("error  ")}
    yield f"{mark[finding.level]}  {finding.check}: {printable(finding.what)}"
    for text in (finding.means, finding.todo and f"→ {finding.todo}"):
        yield from (f"         {line}" for line in wrap(printable(text), _WIDTH))
