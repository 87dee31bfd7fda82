"""Files of JSON lines that commands read: opened, read in batches, and named when told of."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import click

from galaxy_notify.cli import intent_lines
from galaxy_notify.cli.intent_lines import Line
from galaxy_notify.cli.output import note
from galaxy_notify.cli.standard_streams import is_terminal, standard_input


@contextmanager
def opened(file: str, what: str) -> Iterator[BinaryIO]:
    """Open a file of JSON lines, or standard input for ``-``; the end of the block closes it."""
    if file == "-":
        stream = standard_input()
        if is_terminal(sys.stdin):
            note(f"reading {what} from the terminal, one JSON object per line; Ctrl-D ends")
        yield stream
        return
    try:
        stream = io.BufferedReader(io.FileIO(file))
    except OSError as error:
        raise _unreadable(file, error) from None
    with stream:
        yield stream


def batches(stream: BinaryIO, file: str) -> Iterator[list[Line]]:
    """Read lines in batches of bounded size; tell of input without lines, or of another form."""
    found, name = 0, "standard input" if file == "-" else file
    try:
        for batch in intent_lines.batches(stream):
            if not found and (hint := _hint(batch[0].raw)):
                note(f"{name}: {hint}")
            found += len(batch)
            yield batch
    except OSError as error:
        raise _unreadable(file, error) from None
    if not found:
        note(f"{name}: nothing to do, there is no line in it")


def _hint(first: bytes) -> str | None:
    """Say what to do about a file that holds JSON, but not an object on each line."""
    line = first.removeprefix(intent_lines.MARK).strip()
    if line.startswith(b"["):
        return "begins with a JSON array; give one object per line: `jq -c '.[]' FILE`"
    if line.startswith(b"{") and line.endswith((b"{", b"[", b",")):
        return "an object goes over several lines; give one object per line: `jq -c . FILE`"
    return None


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
