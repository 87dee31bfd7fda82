"""How a command ends: exit codes, one line for each error, and output without a reader."""

from __future__ import annotations

import io
import signal
import traceback
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

import click

from galaxy_notify.cli.screen import printable
from galaxy_notify.cli.standard_streams import RESULTS, is_of_output, say
from galaxy_notify.errors import ConfigurationError, FeedUnavailable, GalaxyNotifyError, Invalid
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.redis_client.faults import Fault


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


def print_error(text: str) -> None:
    """Print on standard error what went wrong, in one line."""
    line = " ".join(text.split()) or "failed"
    say(f"galaxy-notify: {printable(line)}")


def exit_code_of(error: BaseException, *, debug: bool = False) -> int:
    """Print what happened, in one line, and return its exit code."""
    match error:
        case SystemExit(code=int(code)) | click.exceptions.Exit(exit_code=code):
            return code
        case KeyboardInterrupt() | click.Abort():
            return SIGNALLED + (SIGNALS.end_signal or signal.SIGINT)
        case click.ClickException():
            shown = io.StringIO()
            error.show(shown)
            say(printable(shown.getvalue()), newline=False)
            return Exit.USAGE if isinstance(error, click.FileError) else error.exit_code
        case GalaxyNotifyError():
            return _known(error)
        case OSError() if is_of_output(error):
            RESULTS.lose(error)
            return Exit.OK
    return _internal(error, debug)


def finish_output(code: int) -> int:
    """Write out what is left of the output; return the exit code that this means.

    A reader that left is no failure; an output that took nothing more, such as a full disk, is.
    """
    RESULTS.finish()
    lost = RESULTS.lost
    if lost is None or isinstance(lost, BrokenPipeError):
        return code
    print_error(f"cannot write output: {lost.strerror or lost}")
    return Exit.FAILED


def unavailable_message(error: GalaxyNotifyError) -> str:
    """Return one line: that a server is away, or that it refuses the call, and why."""
    if isinstance(error, FeedUnavailable):
        return str(error)
    fault = _fault_of(error)
    if fault is None:
        return f"redis is away: {error}"
    from galaxy_notify.operations.refusal import refusal

    refuses = fault.is_permanent or fault.is_refusal
    unnamed = fault.code == "NOPERM" and not fault.missing
    hint = "; `galaxy-notify doctor` lists the missing permissions" if unnamed else ""
    return f"redis {'refuses' if refuses else 'is away'}: {refusal(fault)}{hint}"


def is_misconfigured(error: GalaxyNotifyError) -> bool:
    """Return whether Redis refuses every try until a setting or a permission changes."""
    fault = _fault_of(error)
    return fault is not None and fault.is_permanent


def _fault_of(error: GalaxyNotifyError) -> Fault | None:
    """Return what Redis answered, as far as the error comes from it."""
    found = getattr(error, "fault", None) or getattr(error.__cause__, "fault", None)
    return cast("Fault | None", found)


def _known(error: GalaxyNotifyError) -> int:
    if is_misconfigured(error):
        print_error(unavailable_message(error))
        return Exit.CONFIG
    if isinstance(error, ConfigurationError):
        first, *more = str(error).splitlines() or [""]
        hint = f" (and {len(more)} more: galaxy-notify config check)" if more else ""
        print_error(first + hint)
        return Exit.CONFIG
    print_error(str(error) if isinstance(error, Invalid) else unavailable_message(error))
    return Exit.FAILED


def _internal(error: BaseException, debug: bool) -> int:
    if debug:
        say("".join(traceback.format_exception(error)), newline=False)
    hint = "" if debug else " (for a traceback: galaxy-notify --debug …)"
    print_error(f"internal error: {type(error).__name__}: {error}{hint}")
    return Exit.FAILED
