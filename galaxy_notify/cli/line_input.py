"""Files of JSON lines that commands read: opened, read in batches, and named when told of."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import click

from galaxy_notify.cli import intent_lines
from galaxy_notify.cli.ending import is_terminal
from galaxy_notify.cli.intent_lines import Line
from galaxy_notify.cli.output import note


@contextmanager
def opened(file: str, what: str) -> Iterator[BinaryIO]:
    """Open a file of JSON lines, or standard input for ``-``; the end of the block closes it."""
    if file == "-":
        if sys.stdin is None:
            raise click.FileError("standard input", "it is closed")
        if is_terminal(sys.stdin):
            note(f"reading {what} from the terminal, one JSON object per line; Ctrl-D ends")
        yield sys.stdin.buffer
        return
    try:
        stream = io.BufferedReader(io.FileIO(file))
    except OSError as error:
        raise _unreadable(file, error) from None
    with stream:
        yield stream


def batches(stream: BinaryIO, file: str) -> Iterator[list[Line]]:
    """Read lines in batches of bounded size."""
    try:
        yield from intent_lines.batches(stream)
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: OSError) -> click.ClickException:
    return click.FileError(file, error.strerror or str(error))


def line_ranges(numbers: Sequence[int]) -> str:
    """Name lines in few words: ``lines 3-7, 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    named = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans]
    return ("line " if len(numbers) == 1 else "lines ") + ", ".join(named)
