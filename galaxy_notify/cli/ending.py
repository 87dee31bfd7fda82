"""How a command ends: exit codes, one line for each error, and output that nobody reads."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TextIO, cast

import click

from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError, Invalid
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.redis_state.faults import Fault


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3
    PARTLY = 4
    CONFIG = 78
    INTERRUPTED = 130


#: What a command ends with that a signal interrupted, beside the signal's number.
SIGNALLED: Final = 128


def complain(text: str) -> None:
    """Say on standard error what went wrong, in one line."""
    line = " ".join(text.split()) or "failed"
    click.echo(f"galaxy-notify: {printable(line)}", err=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person sits at a standard stream; a closed one has none."""
    return stream is not None and stream.isatty()


def printable(text: str) -> str:
    """Return text that cannot steer a terminal; line ends and tabs stay."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def exit_code_of(error: BaseException, *, debug: bool = False) -> int:
    """Tell the user what happened, in one line, and return the exit code it means."""
    match error:
        case SystemExit(code=int(code)) | click.exceptions.Exit(exit_code=code):
            return code
        case KeyboardInterrupt() | click.Abort():
            return SIGNALLED + (SIGNALS.asked or signal.SIGINT)
        case click.ClickException():
            _show(error)
            return Exit.USAGE if isinstance(error, click.FileError) else error.exit_code
        case GalaxyNotifyError():
            return _known(error)
        case OSError() if _is_of_output(error):
            return _output_lost(error)
    return _internal(error, debug)


def finish_output(code: int) -> int:
    """Write out what is left of the output, so that no error waits for the interpreter's end."""
    try:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
    except OSError as error:
        return _output_lost(error, code)
    return code


def told_unavailable(error: GalaxyNotifyError) -> str:
    """Say in one line that Redis is away, or that it refuses the call, and how."""
    fault = _fault_of(error)
    if fault is None:
        return f"redis is away: {error}"
    from galaxy_notify.operations.refusal import refusal

    refuses = fault.is_permanent or fault.is_refusal
    unnamed = fault.code == "NOPERM" and not fault.missing
    hint = "; `galaxy-notify doctor` names the missing rights" if unnamed else ""
    return f"redis {'refuses' if refuses else 'is away'}: {refusal(fault)}{hint}"


def is_misconfigured(error: GalaxyNotifyError) -> bool:
    """Tell whether Redis refuses us until somebody changes a setting or a permission."""
    fault = _fault_of(error)
    return fault is not None and fault.is_permanent


def _fault_of(error: GalaxyNotifyError) -> Fault | None:
    """Return what Redis answered, as far as the error comes from it."""
    found = getattr(error, "fault", None) or getattr(error.__cause__, "fault", None)
    return cast("Fault | None", found)


def _show(error: click.ClickException) -> None:
    shown = io.StringIO()
    error.show(shown)
    click.echo(printable(shown.getvalue()), err=True, nl=False)


def _known(error: GalaxyNotifyError) -> int:
    if is_misconfigured(error):
        complain(told_unavailable(error))
        return Exit.CONFIG
    if isinstance(error, ConfigurationError):
        first, *more = str(error).splitlines() or [""]
        hint = f" (and {len(more)} more: galaxy-notify config check)" if more else ""
        complain(first + hint)
        return Exit.CONFIG
    if isinstance(error, Invalid):
        complain(str(error))
        return Exit.FAILED
    complain(told_unavailable(error))
    return Exit.FAILED


def _internal(error: BaseException, debug: bool) -> int:
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    hint = "" if debug else " (--debug shows where: galaxy-notify --debug …)"
    complain(f"internal error: {type(error).__name__}: {error}{hint}")
    return Exit.FAILED


def _is_of_output(error: OSError) -> bool:
    """Tell whether an error came from printing; what Redis does to us has its own errors."""
    return isinstance(error, BrokenPipeError) or error.errno in (errno.ENOSPC, errno.EIO)


def _output_lost(error: OSError, code: int = Exit.OK) -> int:
    _discard_output()
    if isinstance(error, BrokenPipeError):
        return code
    complain(f"cannot write the output: {error.strerror or error}")
    return Exit.FAILED


def _discard_output() -> None:
    """Let what is still buffered go nowhere, else the interpreter complains about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            _flush(stream)
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        stream.flush()
