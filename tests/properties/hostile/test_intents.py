"""Hostile intents: lines of a file, and what a program hands to the notifier."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from galaxy_notify.cli.jsonl import LONGEST_LINE, Line, batches, parse
from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.settings import settings_from
from tests.properties.hostile.corpus import LINES, NO_IDS, SOUND_LINES
from tests.support.command import command_for
from tests.support.intents import PLAIN
from tests.support.servers import Server

_BLOCK = bytes(1 << 20)


def test_line__is_refused_by_name(server: Server) -> None:
    """Every bad line has one receipt that names field and fault; the good ones are accepted."""
    lines = [line for bad in LINES for line in (bad, SOUND_LINES[0])] + list(SOUND_LINES)
    done = command_for(server).run("accept", stdin=b"\n".join(lines))
    receipts = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, done.stderr, len(receipts)) == (4, "", len(lines))
    good = receipts[1 : 2 * len(LINES) : 2] + receipts[2 * len(LINES) :]
    assert {receipt["status"] for receipt in good} == {"accepted"}
    for receipt, (field, message) in zip(receipts[::2], LINES.values(), strict=False):
        error = receipt["error"]
        assert (receipt["status"], error["field"]) == ("refused", field)
        assert error["message"].startswith(message)
        assert (field + error["message"]).isprintable()
        assert len(error["message"]) < 250


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines__end_in_any_way(mark: bytes, end: bytes) -> None:
    """A byte order mark before the first line, CRLF, and a last line without an end are read."""
    text = mark + b"1\r\n2" + end
    lines = [line for batch in batches(io.BytesIO(text)) for line in batch]
    assert [(line.number, parse(line)) for line in lines] == [(1, 1), (2, 2)]


def test_lines__without_a_name_are_not_searched_twice() -> None:
    """A line with hundreds of thousands of names, one of them twice, is told in time."""
    names = ",".join(f'"n{n}":1' for n in range(300_000))
    with pytest.raises(InvalidIntent, match="n299999: is given twice"):
        parse(Line(1, f'{{{names},"n299999":1}}'.encode()))


class _Endless(io.RawIOBase):
    """Gives zeros as long as it is read, up to a few lines' worth."""

    def __init__(self) -> None:
        self.left = 3 * (LONGEST_LINE // len(_BLOCK))

    def read1(self, _: int) -> bytes:
        self.left -= 1
        return _BLOCK if self.left >= 0 else b""


def test_line__without_an_end_is_not_kept() -> None:
    """A stream without a line end takes the room of one line, however long it is read."""
    tracemalloc.start()
    try:
        ((line,),) = batches(_Endless())  # type: ignore[arg-type]  # it reads as one does
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert line.too_long
    assert peak < 2 * LONGEST_LINE


class _Failing(Mapping[str, Any]):
    """A mapping that fails where it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getitem__(self, _: str) -> Any:
        raise self._error

    def __iter__(self) -> Iterator[str]:
        raise self._error

    def __len__(self) -> int:
        return 1


class _Items(Sequence[str]):
    def __getitem__(self, _: Any) -> Any:
        raise ZeroDivisionError("inside")

    def __len__(self) -> int:
        return 1


#: What a program may hand in for an intent.
HANDED_IN: list[Any] = [
    *(None, 7, "text", b"{}", [], [1], object(), PLAIN.items()),
    *(_Failing(RuntimeError("a")), _Failing(KeyError("a")), _Failing(RecursionError())),
    {**PLAIN, "data": _Failing(ValueError("a"))},
    {**PLAIN, "data": {"a": _Failing(OSError("a"))}},
    {**PLAIN, "recipients": _Items()},
    {**PLAIN, "recipients": _Failing(ValueError())},
    {**PLAIN, 7: 1},
    {**PLAIN, "idempotency_key": ["k"]},
]


@pytest.fixture
def notifier(server: Server) -> Iterator[Notifier]:
    """Give a notifier on a server of its own."""
    with Notifier(settings_from({"redis": {"url": server.url}})) as made:
        yield made


@pytest.mark.parametrize("value", HANDED_IN, ids=lambda value: f"{type(value).__name__}")
def test_intent__of_anything_is_refused(value: Any, notifier: Notifier, server: Server) -> None:
    """Whatever is handed in, alone or among others, has its receipt, and theirs are kept."""
    alone = notifier.accept(value)
    among = notifier.accept_many([PLAIN, value, PLAIN])
    assert [receipt.status for receipt in among] == ["accepted", "refused", "accepted"]
    assert alone == among[1]
    assert alone.error
    assert (alone.status, alone.error.code) == ("refused", "invalid")

    async def later() -> None:
        async with AsyncNotifier(settings_from({"redis": {"url": server.url}})) as made:
            assert await made.accept(value) == alone
            assert (await made.accept_many([PLAIN, value]))[1] == alone

    asyncio.run(later())


@pytest.mark.parametrize("name", [*NO_IDS[1:], "0" * 32 + ".2", b"0" * 32, 7])
def test_id__to_repeat_with_must_be_one_of_ours(name: Any, notifier: Notifier) -> None:
    """An id that no accept gave is refused: under it the notification could never be found."""
    receipt = notifier.accept(PLAIN, notification_id=name)
    assert receipt.error
    assert (receipt.status, receipt.error.field) == ("refused", "notification_id")


@pytest.mark.parametrize("actor", ["\ud800", "x" * 100_000, "\x1b[2J\n\0", ""])
def test_actor__of_any_text_is_kept_bounded(actor: str, notifier: Notifier, server: Server) -> None:
    """Whoever cancels, the route's state can be read afterwards."""
    made = notifier.accept(PLAIN)
    assert made.notification_id
    assert notifier.cancel(made.notification_id, actor=actor).cancelled == 1
    shown = command_for(server).told("show", made.notification_id)
    told = shown["routes"][0]["history"][-1]["worker"]
    assert shown["routes"][0]["status"] == "cancelled"
    assert len(told) <= 512
    assert told.isprintable()


ID_COMMANDS = (
    *("show", "cancel", "pause", "resume", "dead show"),
    *("dead replay --yes", "dead purge --yes", "stream drop-group --yes"),
)


@pytest.mark.parametrize("name", [*NO_IDS, b"\xff".decode("utf-8", "surrogateescape")])
def test_id__that_is_none_is_unknown(name: str, server: Server) -> None:
    """No command does anything for what is no id, and the terminal is not steered by it."""
    command = command_for(server)
    for line in ID_COMMANDS:
        done = command.run(*line.split(), "--", name)
        text = done.stdout + done.stderr
        assert done.exit_code in (2, 3), (line, text)
        assert "Traceback" not in text
        assert all(c.isprintable() or c == "\n" for c in text), (line, text)
