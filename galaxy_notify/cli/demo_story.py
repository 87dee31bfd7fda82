"""The story that the demo tells, step by step."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any, Final

from galaxy_notify.cli.demo_stage import Stage
from galaxy_notify.cli.output import echo, good, strong

_STORM: Final = 20_000
_GAMES: Final = 20


def tell(stage: Stage) -> None:
    """Play all steps; each waits for what it tells of."""
    stage.start_daemon()
    victim = stage.start_daemon()
    _accept_and_publish(stage)
    _schedule(stage)
    _retry(stage)
    _dead_letter_and_replay(stage)
    _kill(stage, victim.pid)
    _account(stage)


def _accept_and_publish(stage: Stage) -> None:
    _step(1, "Accept, and publish to the gateway stream")
    turn = _intent("game.turn.ready", ["ada", "grace"], "turn-12", title="Your turn")
    wrong = _intent("game.turn.ready", ["no such id"], "turn-13")
    file = stage.write_intents(turn, turn, wrong)
    echo("  Three lines: one for two recipients, the same once more, and one that is wrong.")
    stage.run("accept", file, ends=4)
    stage.wait_total("published", 2)
    echo("  Two daemons share the work; the events are in the stream:")
    stage.run("stream", "tail", "--count", "2")


def _schedule(stage: Stage) -> None:
    _step(2, "Schedule: on time, never early")
    due_ms = time.time_ns() // 1_000_000 + 1500
    intent = _intent("game.reminder", ["ada"], "reminder", due_at=due_ms)
    receipt = stage.notifier.accept(intent)
    stage.wait_total("published", 3)
    at_ms = int(stage.shown(receipt.notification_id)["stream_id"].split("-")[0])
    echo(f"  Due in 1.5 s, and in the stream {good(f'{at_ms - due_ms} ms after it was due')}.")


def _retry(stage: Stage) -> None:
    _step(3, "A failure that passes: retried with backoff")
    receipt = stage.notifier.accept(_intent("mail.slow", ["grace"], "slow"))
    stage.wait_total("published", 4)
    stage.run("show", str(receipt.notification_id))


def _dead_letter_and_replay(stage: Stage) -> None:
    _step(4, "A failure that stays: a dead letter, and its replay")
    stage.notifier.accept(_intent("mail.broken", ["ada"], "broken"))
    stage.wait_total("dead_lettered", 1)
    stage.run("dead", "ls")
    stage.repair()
    echo("  The template is repaired, so it may go out after all.")
    stage.run("dead", "replay", "--class", "payload_encoding_failed", "--yes")
    stage.wait_total("published", 5)


def _kill(stage: Stage, victim: int) -> None:
    _step(5, f"Kill -9: {_STORM:,} routes, and a daemon dies in the middle")
    recipients = [f"user-{number}" for number in range(_STORM // _GAMES)]
    intents = [_intent("game.over", recipients, f"over-{game}") for game in range(_GAMES)]
    before = stage.totals()["published"]
    stage.notifier.accept_many(intents)
    os.kill(victim, signal.SIGKILL)
    left = before + _STORM - stage.totals()["published"]
    echo(f"  Daemon {victim} was killed with {left:,} routes still to go.")
    seconds = stage.wait_total("published", before + _STORM)
    echo(f"  {seconds:.1f} s later the other one has published them all, also what it had leased.")
    seen = asyncio.run(stage.read_stream(before + _STORM))
    twice = sum(1 for times in seen.values() if times > 1)
    result = f"{before + _STORM - len(seen)} missing, {twice} twice"
    echo(f"  A gateway reads {len(seen):,} events: {good(result)}.")


def _account(stage: Stage) -> None:
    _step(6, "Every route is accounted for")
    stage.run("status")


def _step(number: int, title: str) -> None:
    echo()
    echo(strong(f"{number}. {title}"))


def _intent(kind: str, recipients: list[str], key: str, **more: Any) -> dict[str, Any]:
    named = {"type": kind, "producer": "demo", "recipients": recipients, "idempotency_key": key}
    return named | more
