"""The standard streams of a command: one may be closed, full, or without a reader.

A command that changes something, or whose exit code is a verdict, goes on without a reader and ends
with the exit code it would have had. A listing ends at once: its rest has no reader.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from typing import BinaryIO, Final, TextIO

import click

#: What an output answers that takes nothing: full, over a quota, gone, or not open for writing.
_OF_OUTPUT: Final = frozenset(
    {errno.EAGAIN, errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC}
)
#: What we write outside ASCII, and what stands for it where the encoding does not have it.
_PLAIN: Final = str.maketrans(
    {"–": "-", "…": "~", "→": ">", "×": "x", "’": "'", "\N{REPLACEMENT CHARACTER}": "?"}
)
_ERRORS: Final = "galaxy_notify.plain"


class Results:
    """The standard output of the running command."""

    def __init__(self) -> None:
        #: Why nothing more can be written, once that is known.
        self.lost: OSError | None = None
        #: Whether the command ends where its output has no reader.
        self.is_listing = False

    def begin(self) -> None:
        """Forget the command before."""
        self.lost, self.is_listing = None, False

    def write(self, text: str, *, newline: bool = True) -> None:
        """Write text; raise ``OSError`` where a listing can write nothing more."""
        if self.lost is None:
            try:
                # Named, because click would write UTF-8 where the terminal has ASCII only.
                click.echo(text, nl=newline, file=sys.stdout)
            except OSError as error:
                self.lose(error)
                if self.is_listing:
                    raise

    def lose(self, error: OSError) -> None:
        """Note that nothing more can be written; what is buffered goes nowhere."""
        self.lost = self.lost or error
        _discard(sys.stdout)

    def finish(self) -> None:
        """Write out what is left, so that no error waits for the end of the interpreter."""
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except OSError as error:
                self.lose(error)
        if sys.stderr is not None:
            try:
                sys.stderr.flush()
            except OSError:
                _discard(sys.stderr)


RESULTS: Final = Results()


def say(text: str, *, newline: bool = True) -> None:
    """Write to standard error; nothing depends on whether it is read."""
    with suppress(OSError):
        click.echo(text, nl=newline, file=sys.stderr)


def standard_input() -> BinaryIO:
    """Return standard input; raise ``FileError``, which is exit code 2, where it is closed."""
    if sys.stdin is None:
        raise click.FileError("standard input", "it is closed")
    return sys.stdin.buffer


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person sits at a standard stream; a closed one has none."""
    return stream is not None and stream.isatty()


def is_of_output(error: OSError) -> bool:
    """Return whether an error came from printing; what Redis does to us has its own errors."""
    return isinstance(error, BrokenPipeError) or error.errno in _OF_OUTPUT


def open_closed_streams() -> None:
    """Put ``/dev/null`` in the place of closed standard streams.

    Otherwise a connection to Redis gets the number of a standard stream, and all that writes there
    writes into it. Standard input stays closed for our own commands, which say so.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or _writing_to(1)
    sys.stderr = sys.stderr or _writing_to(2)


def take_any_text() -> None:
    """Let the standard streams take any text, in any encoding of the terminal."""
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def _writing_to(number: int) -> TextIO:
    return io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write our own signs in ASCII, one for one, and what comes from outside with escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _discard(stream: TextIO | None) -> None:
    """Let what is still buffered go nowhere, else the interpreter complains about it at its end."""
    with suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno() if stream is not None else -1)
        os.close(nowhere)
