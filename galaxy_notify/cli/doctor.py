"""``doctor``: what endangers the guarantees, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import echo, echo_json, plural
from galaxy_notify.cli.screen import bad, faint, good, printable, warn, wrapped
from galaxy_notify.errors import GalaxyNotifyError

if TYPE_CHECKING:
    from galaxy_notify.operations.finding import Finding

_WIDE: Final = 105


@click.command("doctor")
@with_json
def command(app: Application, as_json: bool) -> int:
    """Find risks to the guarantees and suggest fixes.

    Checks the connection, the server, its memory and persistence, the user's permissions, the
    settings, the backlog, and the Postgres of the feed. Changes nothing. Checks that this user may
    not run are reported as unknown. Exit code 1 on an error finding, 0 with warnings or unknown
    findings.
    """
    _ = app.settings  # what is wrong with them ends the command before Redis is asked
    findings: list[Finding] = []
    for finding in _findings(app):
        findings.append(finding)
        if not as_json:
            echo("\n".join(_lines(finding)))
    errors = [finding.check for finding in findings if finding.level == "error"]
    warnings = [finding.check for finding in findings if finding.level == "warning"]
    if as_json:
        echo_json({"ok": not errors, "findings": [asdict(finding) for finding in findings]})
    else:
        echo()
        unknown = sum(finding.level == "unknown" for finding in findings)
        beside = f", {unknown} unknown" if unknown else ""
        echo(f"{_summed_up('error', errors)}, {_summed_up('warning', warnings)}{beside}")
    return Exit.FAILED if errors else Exit.OK


def _findings(app: Application) -> Iterator[Finding]:
    from galaxy_notify.operations.doctor import examine, unreachable
    from galaxy_notify.operations.feed_checks import postgres_findings

    try:
        with app.open() as deployment:
            yield from examine(deployment, app.settings)
    except GalaxyNotifyError as error:
        yield unreachable(error)
    yield from postgres_findings(app.settings)


def _summed_up(word: str, checks: list[str]) -> str:
    names = f" ({', '.join(dict.fromkeys(checks))})" if checks else ""
    return plural(len(checks), word) + names


def _lines(finding: Finding) -> Iterator[str]:
    mark = {
        "ok": good("ok     "),
        "unknown": faint("unknown"),
        "warning": warn("warning"),
        "error": bad("error  "),
    }
    check = f"{finding.check} of {finding.node}" if finding.node else finding.check
    first, indent = f"{mark[finding.level]}  ", " " * 9
    what = f"{check}: {printable(finding.what)}"
    yield from wrapped(what, first=first, indent=indent, most=_WIDE)
    means = f'risk to "{finding.risk}": {finding.means}' if finding.risk else finding.means
    for text in (means, finding.todo and f"→ {finding.todo}"):
        if text:
            yield from wrapped(printable(text), first=indent, indent=indent, most=_WIDE)
