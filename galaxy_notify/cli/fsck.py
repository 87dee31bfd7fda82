"""``fsck``: compare every index with the routes, and repair what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, actor, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, echo, echo_json, is_unread, note, plural
from galaxy_notify.cli.prompts import Progress
from galaxy_notify.cli.screen import bad, faint, good, printable, warn, wrapped

if TYPE_CHECKING:
    from galaxy_notify.fsck.faults import Inconsistency
    from galaxy_notify.operations.fsck import Fsck

_SHOWN_OF_A_KIND: Final = 20
_WORDS: Final = {"found": "found", "mended": "repaired", "left": "left"}
_MARKS: Final = {"found": warn, "mended": good, "left": bad}


@click.command("fsck")
@click.option("--fix", is_flag=True, help="Repair inconsistencies; without it nothing is written.")
@with_json
def command(app: Application, fix: bool, as_json: bool) -> int:
    """Compare every index with the routes and repair it.

    Also checks the recent lists and the presence of users, and what gateways keep.

    Safe to run beside working daemons: every inconsistency is checked twice before it is reported.
    Reads all state, in small pages. Exit code 0 if the state is consistent or everything was
    repaired, 1 if inconsistencies were found without --fix, 4 if some were not repaired.
    """
    from galaxy_notify.fsck.user_keys import Terms
    from galaxy_notify.operations.fsck import Fsck

    realtime = app.settings.realtime
    terms = Terms(realtime.history_ms, realtime.presence_ttl_ms)
    faults: list[Inconsistency] = []
    kinds: Counter[str] = Counter()
    became: Counter[str] = Counter()
    with app.open() as deployment, Progress("looked at", beside=False) as progress:
        run = Fsck(deployment, actor(), fix=fix, terms=terms, progress=progress.advance)
        for fault in run.run():
            kinds[fault.code] += 1
            if as_json:
                faults.append(fault)
            elif kinds[fault.code] <= _SHOWN_OF_A_KIND:
                echo(_line(fault))
            became[fault.became] += 1
    if as_json:
        echo_json(_document(run, faults, became))
    else:
        _sum_up(run, kinds, became)
    if became["found"]:
        return Exit.FAILED
    return Exit.PARTLY if became["left"] else Exit.OK


def _line(fault: Inconsistency) -> str:
    mark = _MARKS[fault.became](f"{_WORDS[fault.became]:<8}")
    mends = f" → {fault.mends}" if fault.mends else ""
    text = wrapped(f"{fault.what}{mends}", first=" " * 8, indent=" " * 10)
    return "\n".join([f"{mark}  {fault.code:<14}  {printable(fault.subject)}", *text])


def _sum_up(run: Fsck, kinds: Counter[str], became: Counter[str]) -> None:
    for code, number in kinds.items():
        if number > _SHOWN_OF_A_KIND:
            echo(faint(f"and {count(number - _SHOWN_OF_A_KIND)} more {code}: --json has all"))
    looked = run.looked
    summary = (
        f"{plural(looked.notifications, 'notification')} with {plural(looked.routes, 'route')},"
        f" {plural(looked.members, 'entry', 'entries')} of indexes"
    )
    if looked.user_keys:
        summary += f", {plural(looked.user_keys, 'key')} of gateways"
    summary = f"{summary}: {_verdict(became)}"
    echo("\n".join(wrapped(summary)))
    if is_unread() and became:
        note(summary)


def _verdict(became: Counter[str]) -> str:
    if not became:
        return good("all consistent")
    words = [f"{count(became[word])} {shown}" for word, shown in _WORDS.items() if became[word]]
    hint = "; repair: `galaxy-notify fsck --fix`" if became["found"] else ""
    return ", ".join(words) + hint


def _document(run: Fsck, faults: list[Inconsistency], became: Counter[str]) -> dict[str, Any]:
    return {
        "ok": not became["found"] and not became["left"],
        "fix": run.fix,
        "looked_at": asdict(run.looked),
        "found": became.total(),
        "mended": became["mended"],
        "left": became["found"] + became["left"],
        "findings": [
            {
                "code": fault.code,
                "subject": fault.subject,
                "what": fault.what,
                "mends": fault.mends,
                "mended": fault.became == "mended",
            }
            for fault in faults
        ],
    }
