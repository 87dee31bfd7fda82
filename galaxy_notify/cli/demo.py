"""``demo``: the main job from end to end, on a real server of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import listing
from galaxy_notify.cli.output import echo
from galaxy_notify.cli.screen import good, strong
from galaxy_notify.errors import TransientEncodingError, Unavailable
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.cli.demo_stage import Stage
    from galaxy_notify.model.notification import Notification
    from galaxy_notify.model.route import Route

# Its daemons and its server have bounds of their own, which it waits for.
_PATIENCE_S: Final = 60.0
_STORM: Final = 20_000
_GAMES: Final = 20
#: Names the file whose existence means that the broken template has been repaired.
REPAIRED_VARIABLE: Final = "DEMO_TEMPLATE_REPAIRED"
_BUSY_TIMES: Final = 2


@click.command()
@click.option(
    "--web", is_flag=True, help="Show it in a browser, until Ctrl-C: two users, their bells."
)
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the page, with --web.")
@listing
def command(*, web: bool, port: int | None) -> None:
    """Demonstrate everything on a temporary server: accept, publish, retry, dead letter, replay.

    Uses only a temporary directory. Takes about ten seconds; Ctrl-C stops it and removes
    everything. With --web it prints the address of a page on this machine instead, where
    notifications can be sent and processes be killed.
    """
    SIGNALS.raise_if_ending()
    if port is not None and not web:
        raise click.UsageError("--port needs --web")
    if web:
        from galaxy_notify.cli import demo_web
        from galaxy_notify.telemetry.logs import configure_logs

        configure_logs("error")
        demo_web.run(port)
    else:
        _run()


def _run() -> None:
    """Tell the story in the terminal."""
    from galaxy_notify.cli.demo_stage import Stage
    from galaxy_notify.embedded.server import EmbeddedServer
    from galaxy_notify.telemetry.logs import configure_logs

    # The demo prints what happens; log lines beside it would only disturb.
    configure_logs("error")
    SIGNALS.watchdog.patience_s = _PATIENCE_S
    with tempfile.TemporaryDirectory(prefix="gn-demo-") as folder:
        SIGNALS.cleanups.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        server = EmbeddedServer(Path(folder) / "server")
        SIGNALS.cleanups.append(server.abandon)
        try:
            try:
                url = server.start()
            except Unavailable:
                SIGNALS.raise_if_ending()
                raise
            with Stage(Path(folder), url, os.environ) as stage:
                echo(strong(f"galaxy-notify demo on a temporary {stage.server_name()}"))
                _tell(stage)
        finally:
            server.stop()
    echo()
    echo(good("Everything ran on a real server, which has been stopped and removed."))
    program = sys.argv[0] if sys.argv[0].endswith("galaxy-notify") else "galaxy-notify"
    echo(f"In a browser: {_near(program)} demo --web, or make demo-web in a checkout.")
    echo(f"Next: {_near(program)} --embedded run, and the README for the rest.")


def encode(notification: Notification, route: Route) -> bytes:
    """Encode for the daemons of the demo: the packed payload, or a failure where one is shown."""
    if notification.type == "mail.slow" and route.attempts < _BUSY_TIMES:
        raise TransientEncodingError("the template service is busy")
    if notification.type == "mail.broken" and not Path(os.environ[REPAIRED_VARIABLE]).exists():
        raise ValueError("template mail.broken has no title")
    return notification.packed


def _near(program: str) -> str:
    """Return the program as one would type it here."""
    here, path = Path.cwd(), Path(program)
    is_here = path.is_absolute() and path.is_relative_to(here)
    return str(path.relative_to(here)) if is_here else program


def _tell(stage: Stage) -> None:
    """Play all steps; each waits for what it shows."""
    stage.start_daemon()
    victim = stage.start_daemon()
    _accept_and_publish(stage)
    _schedule(stage)
    _retry(stage)
    _dead_letter_and_replay(stage)
    _kill(stage, victim.pid)
    _step(6, "Every route is accounted for")
    stage.run("status")


def _accept_and_publish(stage: Stage) -> None:
    _step(1, "Accept, and publish to the gateway stream")
    turn = _intent("game.turn.ready", ["ada", "grace"], "turn-12", title="Your turn")
    wrong = _intent("game.turn.ready", ["no such id"], "turn-13")
    file = stage.write_intents(turn, turn, wrong)
    echo("  Three lines: an intent with two recipients, the same intent again, and an invalid one.")
    stage.run("accept", file, ends=4)
    stage.wait_total("published", 2)
    echo("  Two daemons share the work; the events are in the stream:")
    stage.run("stream", "tail", "--count", "2")


def _schedule(stage: Stage) -> None:
    _step(2, "Schedule: on time, never early")
    due_ms = time.time_ns() // 1_000_000 + 1500
    intent = _intent("game.reminder", ["ada"], "reminder", due_at=due_ms)
    (receipt,) = stage.accept(intent)
    stage.wait_total("published", 3)
    late_ms = stage.published_ms(receipt.notification_id) - due_ms
    echo(f"  Due in 1.5 s, and in the stream {good(f'{late_ms} ms after it was due')}.")


def _retry(stage: Stage) -> None:
    _step(3, "Temporary failure: retried with backoff")
    (receipt,) = stage.accept(_intent("mail.slow", ["grace"], "slow"))
    stage.wait_total("published", 4)
    stage.run("show", str(receipt.notification_id))


def _dead_letter_and_replay(stage: Stage) -> None:
    _step(4, "Permanent failure: dead letter and replay")
    stage.accept(_intent("mail.broken", ["ada"], "broken"))
    stage.wait_total("dead_lettered", 1)
    stage.run("dead", "ls")
    stage.repair()
    echo("  The template is repaired; the dead letter can be replayed.")
    stage.run("dead", "replay", "--class", "payload_encoding_failed", "--yes")
    stage.wait_total("published", 5)


def _kill(stage: Stage, victim: int) -> None:
    import asyncio

    _step(5, f"Kill -9: a daemon dies while {_STORM:,} routes are published")
    recipients = [f"user-{number}" for number in range(_STORM // _GAMES)]
    intents = [_intent("game.over", recipients, f"over-{game}") for game in range(_GAMES)]
    before = stage.total("published")
    stage.accept(*intents)
    os.kill(victim, signal.SIGKILL)
    left = before + _STORM - stage.total("published")
    echo(f"  Daemon {victim} was killed with {left:,} routes left.")
    seconds = stage.wait_total("published", before + _STORM)
    echo(
        f"  {seconds:.1f} s later the other daemon has published all of them, including those the "
        f"killed one had leased."
    )
    seen = asyncio.run(stage.read_stream(before + _STORM))
    twice = sum(1 for times in seen.values() if times > 1)
    result = f"{before + _STORM - len(seen)} missing, {twice} twice"
    echo(f"  A gateway reads {len(seen):,} events: {good(result)}.")


def _step(number: int, title: str) -> None:
    echo()
    echo(strong(f"{number}. {title}"))


def _intent(kind: str, recipients: list[str], key: str, **more: Any) -> dict[str, Any]:
    named = {"type": kind, "producer": "demo", "recipients": recipients, "idempotency_key": key}
    return named | more
