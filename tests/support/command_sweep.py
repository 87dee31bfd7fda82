"""Runs every command once, in forks of one process, with standard streams that are not as usual.

    python -m tests.support.command_sweep CONDITION FOLDER

Prints a JSON line for each command: its arguments, its exit code, and the defect if there was one.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from galaxy_notify.cli import exits, main
from galaxy_notify.cli.group import cli

_ID: Final = "0" * 32
#: An endpoint of u1.
_ENDPOINT: Final = "0.dTE"
#: What each command needs to be asked something; commands that serve until a signal are not here.
ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "accept": ("-",),
    "bench": ("--routes", "100"),
    "cancel": (_ID,),
    "channels ls": (),
    "channels show": ("push",),
    "channels test": ("push", "u1"),
    "completion": ("bash",),
    "config check": (),
    "config defaults": (),
    "config hash-token": ("ann", "--scope", "producer"),
    "config show": (),
    "contacts import": ("-",),
    "contacts key": (),
    "contacts ls": ("u1",),
    "contacts rekey": (),
    "contacts rm": ("u1",),
    "contacts set": ("u1", "-"),
    "dead export": (),
    "dead ls": (),
    "dead purge": ("--all",),
    "dead replay": ("-",),
    "dead show": ("-",),
    "dead stats": (),
    "doctor": (),
    "feed counts": ("u1",),
    "feed ls": ("u1",),
    "feed migrate": (),
    "feed read": ("u1", "--all"),
    "feed reconcile": ("--fix",),
    "feed restored": (),
    "fsck": ("--fix",),
    "health": (),
    "intake rejects ls": (),
    "intake rejects purge": ("-",),
    "intake rejects replay": ("-",),
    "intake status": (),
    "list": (),
    "pause": ("push",),
    "prefs delete": ("u1",),
    "prefs export": (),
    "prefs get": ("u1",),
    "prefs import": ("-",),
    "prefs resume": ("u1",),
    "prefs set": ("u1", "--channels", "push"),
    "prefs silence": ("u1",),
    "prefs unset": ("u1",),
    "presence ls": (),
    "presence show": ("u1",),
    "reschedule": (_ID, "2100-01-01T00:00:00Z"),
    "resume": ("push",),
    "retract": (_ID,),
    "show": (_ID,),
    "status": (),
    "stream drop-group": ("none",),
    "stream groups": (),
    "stream tail": (),
    "stream user": ("u1",),
    "users forget": ("u1", "--yes"),
    "users logout": ("u1",),
    "users show": ("u1",),
    "webhooks add": ("u1", "https://1.1.1.1/"),
    "webhooks attempts": (_ENDPOINT,),
    "webhooks disable": (_ENDPOINT,),
    "webhooks enable": (_ENDPOINT,),
    "webhooks ls": ("u1",),
    "webhooks replay": (_ENDPOINT, "--since", "1h"),
    "webhooks rotate": (_ENDPOINT,),
    "webhooks test": (_ENDPOINT,),
    "webpush keys": (),
}
#: Groups that do something without a subcommand.
ALSO_COMMANDS: Final = frozenset({"intake", "feed"})
SERVING: Final = frozenset({"run", "intake", "serve", "gateway", "feed", "demo", "stream consume"})


def leaves(group: click.Group, ahead: str = "") -> list[str]:
    """Return every command by its full name."""
    found: list[str] = []
    with click.Context(group) as context:
        for name in group.list_commands(context):
            one = group.get_command(context, name)
            full = f"{ahead}{name}"
            found += leaves(one, f"{full} ") if isinstance(one, click.Group) else [full]
    return found


def _closed() -> None:
    """Take the standard streams away, as ``<&- >&- 2>&-`` does."""
    for number in range(3):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = None


def _full() -> None:
    """Let nothing be written, in an encoding that has ASCII only, on the narrowest of terminals."""
    full = os.open("/dev/full", os.O_WRONLY)
    for number in (1, 2):
        os.dup2(full, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), "ascii")
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w"), "ascii") for n in (1, 2))


def _ascii(number: int = 1) -> None:
    """Write ASCII to a file, twenty columns wide."""
    os.environ["COLUMNS"] = "20"
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (number, 2):
        os.dup2(nowhere, stream)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), "ascii")
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w"), "ascii") for n in (1, 2))


CONDITIONS: Final = {"closed": _closed, "full": _full, "ascii": _ascii}


def _run(words: list[str], condition: str, report: Path) -> None:
    """Be the command, in a process that was forked for it."""

    def internal(error: BaseException, debug: bool) -> int:
        del debug
        report.write_text("".join(traceback.format_exception(error)))
        return int(exits.Exit.FAILED)

    exits._internal = internal
    sys.argv = ["galaxy-notify", *words]
    CONDITIONS[condition]()
    try:
        main()
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 99)
    except BaseException as error:
        internal(error, True)
    os._exit(99)


def _walk(condition: str, folder: Path) -> None:
    # The commands themselves are loaded: their names were compared.
    for name in (
        "intake.notifier",
        "redis_state.deployment",
        "settings",
        "operations.dead_letters",
    ):
        import_module(f"galaxy_notify.{name}")
    for number, (name, arguments) in enumerate(ARGUMENTS.items()):
        report = folder / str(number)
        words = [*name.split(), *arguments]
        child = os.fork()
        if not child:
            _run(words, condition, report)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        defect = report.read_text() if report.exists() else None
        told: dict[str, Any] = {"command": words, "code": code, "defect": defect}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    assert set(leaves(cli)) | ALSO_COMMANDS == set(ARGUMENTS) | SERVING, "a command is not walked"
    _walk(sys.argv[1], Path(sys.argv[2]))
