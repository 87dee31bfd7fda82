"""JSON lines in, an answer for each out: read as they arrive, each within bounds."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, BinaryIO, Final, NamedTuple

import click

from galaxy_notify.cli.exits import Exit, is_misconfigured, print_error
from galaxy_notify.cli.output import echo, note, plural, sum_up
from galaxy_notify.cli.prompts import Progress
from galaxy_notify.cli.standard_streams import is_terminal, standard_input
from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.model.json_text import parse_json

#: A longer line is refused without being kept; the largest fan-outs stay far below it.
LONGEST_LINE: Final = 32 << 20
_BLOCK: Final = 1 << 20
_BATCH_LINES: Final = 500
_BATCH_BYTES: Final = 8 << 20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not blank, with its number; of one that is too long only that is kept."""

    number: int
    raw: bytes
    too_long: bool = False


class Unanswered(Enum):
    """What stands for the answer to a line that a failed call leaves without one."""

    UNKNOWN = "unknown"
    NOT_WRITTEN = "not written"


class Answers(NamedTuple):
    """The answers to a batch, in order: documents with a ``status``.

    After a *failure* no more lines are sent; *cause* says what it was.
    """

    documents: Sequence[dict[str, Any] | Unanswered]
    failure: CallFailed | None = None
    cause: str = ""


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
        raise click.FileError(file, error.strerror or str(error)) from None
    with stream:
        yield stream


def answer_lines(
    stream: BinaryIO,
    file: str,
    answer: Callable[[Sequence[Line]], Answers],
    *,
    words: Mapping[str, str],
    repeat: str,
) -> int:
    """Have each batch of lines answered, print the answers, and return the exit code.

    *words* say how the summary names each status but ``refused``; *repeat* for which of the lines
    whose outcome is unknown it is safe to run the command again.
    """
    tally = _Tally()
    with Progress("lines read:", beside=False) as progress:
        for batch in _named_batches(stream, file):
            answers = answer(batch)
            tally.take(batch, answers.documents)
            progress.advance(len(batch))
            if answers.failure is not None:
                print_error("; ".join([answers.cause, *tally.unanswered(repeat)]))
                return Exit.CONFIG if is_misconfigured(answers.failure) else Exit.FAILED
    sum_up(tally.summary({**words, "refused": "refused"}), tally.exit_code)
    return tally.exit_code


def parse(line: Line) -> Any:
    """Return the value that a line holds; raise ``InvalidIntent`` where it is no JSON."""
    if line.too_long:
        raise InvalidIntent("", f"the line is longer than {LONGEST_LINE:,} bytes", "too_large")
    raw = line.raw.removeprefix(_BYTE_ORDER_MARK) if line.number == 1 else line.raw
    return parse_json(raw, "the line")


def batches(stream: BinaryIO) -> Iterator[list[Line]]:
    """Read lines in batches: what a pipe holds now is not kept waiting for what comes later."""
    batch: list[Line] = []
    size = 0
    for line in _lines(stream):
        if line is not None:
            batch.append(line)
            size += len(line.raw)
        if batch and (line is None or len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Tally:
    """Prints the answers and counts what became of the lines."""

    def __init__(self) -> None:
        self._by_status: Counter[str] = Counter()
        self._lines: dict[Unanswered, list[int]] = {kind: [] for kind in Unanswered}

    def take(self, batch: Sequence[Line], documents: Sequence[dict[str, Any] | Unanswered]) -> None:
        """Print the answers to a batch at once, and count."""
        printed: list[str] = []
        for line, document in zip(batch, documents, strict=True):
            if isinstance(document, Unanswered):
                self._lines[document].append(line.number)
            else:
                self._by_status[document["status"]] += 1
                printed.append(json.dumps(document, separators=(",", ":")))
        if printed:
            echo("\n".join(printed))

    @property
    def exit_code(self) -> int:
        """Return the exit code that the answers mean."""
        refused = self._by_status["refused"]
        if not refused:
            return Exit.OK
        return Exit.FAILED if refused == self._by_status.total() else Exit.PARTLY

    def unanswered(self, repeat: str) -> Iterator[str]:
        """Name the lines that have no answer, and say what to do about them."""
        for kind, numbers in self._lines.items():
            if numbers:
                yield f"{kind.value}: {_line_ranges(numbers)}"
        yield "later lines were not sent"
        if self._lines[Unanswered.UNKNOWN]:
            yield repeat

    def summary(self, words: Mapping[str, str]) -> str:
        """Print in one line what became of all lines."""
        counted = [f"{self._by_status[status]:,} {word}" for status, word in words.items()]
        return f"{plural(self._by_status.total(), 'line')}: {', '.join(counted)}"


def _named_batches(stream: BinaryIO, file: str) -> Iterator[list[Line]]:
    """Read lines in batches; say so where the input has no lines, or another form."""
    found, name = 0, "standard input" if file == "-" else file
    try:
        for batch in batches(stream):
            if not found and (hint := _hint(batch[0].raw)):
                note(f"{name}: {hint}")
            found += len(batch)
            yield batch
    except OSError as error:
        raise click.FileError(file, error.strerror or str(error)) from None
    if not found:
        note(f"{name}: no lines, nothing to do")


def _lines(stream: BinaryIO) -> Iterator[Line | None]:
    """Split what arrives into lines; None where nothing more is there just now."""
    number, size = 0, 0
    kept: list[bytes] = []
    # read1 returns what is there; read would wait for a whole block.
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    while block := read(_BLOCK):
        *ended, rest = block.split(b"\n")
        for end in ended:
            number += 1
            yield from _line(number, b"".join([*kept, end]), size + len(end))
            kept, size = [], 0
        size += len(rest)
        kept = [*kept, rest] if size <= LONGEST_LINE else []
        if ended:
            yield None
    yield from _line(number + 1, b"".join(kept), size)


def _line(number: int, raw: bytes, size: int) -> Iterator[Line]:
    if size > LONGEST_LINE:
        yield Line(number, b"", too_long=True)
    elif raw.strip():
        yield Line(number, raw)


def _hint(first: bytes) -> str | None:
    """Return what to do about a file that holds JSON, but not an object on each line."""
    line = first.removeprefix(_BYTE_ORDER_MARK).strip()
    if line.startswith(b"["):
        return "begins with a JSON array; give one object per line: `jq -c '.[]' FILE`"
    if line.startswith(b"{") and line.endswith((b"{", b"[", b",")):
        return "an object spans several lines; give one object per line: `jq -c . FILE`"
    return None


def _line_ranges(numbers: Sequence[int]) -> str:
    """Name lines in few words: ``lines 3-7, 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    named = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans]
    return ("line " if len(numbers) == 1 else "lines ") + ", ".join(named)
