"""`accept_many` of an iterable that raises in the middle: what it gave before is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from galaxy_notify import AsyncNotifier, Notifier, SourceFailed, Unavailable
from galaxy_notify.intake import source
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.source import IntentSource
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.refusing import out_of_memory
from tests.support.servers import Server

NOWHERE = "redis://127.0.0.1:1/0"


class RowBroken(Exception):
    """What a program's own reading raises."""


def rows(count: int, *, invalid: int = -1) -> Iterator[dict[str, Any]]:
    """Give so many intents, one of them invalid, and then raise."""
    for number in range(count):
        yield {**PLAIN, "recipients": [] if number == invalid else [f"u{number}"]}
    raise RowBroken("row 7 of the file")


def accept(server: Server, source: Iterator[dict[str, Any]]) -> list[Receipt]:
    """Accept with the synchronous notifier."""
    with Notifier.from_url(server.url) as notifier:
        return notifier.accept_many(source)


def accept_async(server: Server, source: Iterator[dict[str, Any]]) -> list[Receipt]:
    """Accept with the asynchronous one."""

    async def scenario() -> list[Receipt]:
        async with AsyncNotifier.from_url(server.url) as notifier:
            return await notifier.accept_many(source)

    return asyncio.run(scenario())


@pytest.mark.parametrize("accepting", [accept, accept_async])
@pytest.mark.parametrize("count", [0, 3, 1000, 1003])
def test_accept_many__carries_the_receipts_of_what_was_read(
    server: Server, deploy: Deploy, accepting: Callable[..., list[Receipt]], count: int
) -> None:
    """Each intent that was given is accepted or refused, and has its receipt in the error."""
    deployment = deploy(server)
    with pytest.raises(SourceFailed, match=r"RowBroken: row 7 of the file; the \d+ ") as caught:
        accepting(server, rows(count, invalid=1))
    assert isinstance(caught.value.__cause__, RowBroken)
    told = [receipt.status for receipt in caught.value.receipts]
    assert told == ["refused" if number == 1 else "accepted" for number in range(count)]
    assert deployment.total("accepted") == told.count("accepted")


@pytest.mark.parametrize("accepting", [accept, accept_async])
def test_accept_many__that_redis_refuses_tells_both(
    server: Server, deploy: Deploy, accepting: Callable[..., list[Receipt]]
) -> None:
    """The error of Redis says what is known of each intent, and that there may have been more."""
    deploy(server)
    with out_of_memory(server), pytest.raises(Unavailable, match="RowBroken") as caught:
        accepting(server, rows(3))
    assert caught.value.receipts == [None] * 3
    assert caught.value.not_written == (0, 1, 2)


def test_accept_many__without_redis_tells_both() -> None:
    """What was not sent any more is counted as far as it could be read."""
    with (
        Notifier.from_url(NOWHERE) as notifier,
        pytest.raises(Unavailable, match="RowBroken") as caught,
    ):
        notifier.accept_many(rows(1003))
    assert caught.value.receipts == [None] * 1003
    assert set(range(1000, 1003)) <= set(caught.value.not_written)


def test_source__of_a_list_takes_no_interruption_for_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading a list raises nothing by itself: what a signal handler raises goes to the caller."""

    class TooLate(Exception):
        """What a soft time limit raises."""

    def interrupted(*_: object) -> list[object]:
        raise TooLate

    listed, generated = IntentSource([1, 2]), IntentSource(iter([1, 2]))
    monkeypatch.setattr(source, "islice", interrupted)
    with pytest.raises(TooLate):
        listed.chunk()
    assert generated.chunk() == []
    assert "TooLate" in generated.failure_text
