"""The processes of the stage: kept as long as they have worked once, and ended with it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.stage.processes import StageProcess, answers, has_logged
from tests.support.servers import free_port
from tests.support.wait import until


async def _never() -> bool:
    return False


@pytest.mark.parametrize(
    ("arguments", "error", "code"),
    [
        (["no-such-command"], Unavailable, 2),
        (["--config", "/no/such", "run"], ConfigurationError, 78),
    ],
)
def test_process__that_never_works_says_why(
    arguments: list[str], error: type[Exception], code: int, tmp_path: Path
) -> None:
    """It is not started over and over: its last words are the reason."""
    process = StageProcess("worker", arguments, tmp_path)
    with pytest.raises(error, match=f"(?s)worker ended with {code}: .*(no-such-command|/no/such)"):
        asyncio.run(process.keep(os.environ, _never))
    assert process.starts == 1


def test_process__is_started_again_until_the_end(tmp_path: Path) -> None:
    """Killed, it is another process under the same name; asked to end, it stays ended."""

    async def play() -> None:
        process = StageProcess("worker", ["completion", "bash"], tmp_path)
        process.has_worked.set()
        keeping = asyncio.create_task(process.keep(os.environ, _never))
        await until(lambda: process.starts == 2, "it was started again")
        before = process.document["pid"]
        process.kill()
        await until(lambda: process.document["pid"] != before, "it is another one")
        process.ask_to_end()
        await process.ended()
        await keeping
        assert not process.is_ready

    asyncio.run(play())


def test_works__where_it_has_logged_everything(tmp_path: Path) -> None:
    """All of the events, in any order."""
    log = tmp_path / "log"
    works = has_logged(log, "daemon working", "feed writing")
    log.write_text('{"event":"feed writing"}\n')
    assert asyncio.run(works()) is False
    log.write_text('{"event":"feed writing"}\n{"event":"daemon working"}\n')
    assert asyncio.run(works()) is True


def test_works__where_a_gateway_answers() -> None:
    """A port on which nothing listens is one that does not yet."""
    assert asyncio.run(answers(free_port())()) is False
