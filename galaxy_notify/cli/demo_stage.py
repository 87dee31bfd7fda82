"""What the demo's story plays on: settings, daemons and commands, all of them real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import click

from galaxy_notify.cli.demo import REPAIRED_VARIABLE
from galaxy_notify.cli.output import echo
from galaxy_notify.cli.screen import faint
from galaxy_notify.errors import Unavailable
from galaxy_notify.gateway import Event, GatewayConsumer
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import Target
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_inspect.notifications import read_notification
from galaxy_notify.redis_inspect.servers import read_server_name, read_totals
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import load_settings
from galaxy_notify.signals import SIGNALS

T = TypeVar("T")

#: For each step; a busy machine may publish slowly, and its disk let a call wait for seconds.
_PATIENCE_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_STOP_S: Final = 15.0
_SETTINGS: Final = """\
[redis]
url = "{url}"

[worker]
lease_ttl_ms = 2000

[retry]
backoff_min_ms = 300
jitter = "none"

[gateway]
encoder = "galaxy_notify.cli.demo:encode"
"""


class Stage:
    """Runs daemons and commands against the demo's server; on exit the daemons are stopped."""

    def __init__(self, folder: Path, url: str, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._config = folder / "galaxy_notify.toml"
        self._config.write_text(_SETTINGS.format(url=url))
        self._url = url
        self._repaired = folder / "repaired"
        # Settings of the user's own deployment must not reach the demo.
        own = {k: v for k, v in environ.items() if not k.startswith("GALAXY_NOTIFY_")}
        self._environ = own | {REPAIRED_VARIABLE: str(self._repaired)}
        settings = load_settings(str(self._config), environ=self._environ)
        self.notifier = Notifier(settings)
        self.deployment = _patiently(lambda: connect(settings, join=True))
        self._daemons: list[subprocess.Popen[bytes]] = []
        SIGNALS.cleanups.append(self.abandon)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self._daemons:
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.notifier.close()
        self.deployment.close()

    def abandon(self) -> None:
        """End the daemons, and wait for nothing."""
        for daemon in self._daemons:
            daemon.kill()

    def server_name(self) -> str:
        """Return flavour and version of the server."""
        server = read_server_name(self.deployment)
        return f"{server.flavour} {server.version}"

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """Start one more daemon; its log goes to a file of its own."""
        log = self._folder / f"daemon-{len(self._daemons) + 1}.log"
        with log.open("wb") as out, SIGNALS.uninterrupted():
            daemon = subprocess.Popen(
                self._command("run"),
                env=self._environ,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the demo, which ends them
            )
            self._daemons.append(daemon)
        return daemon

    def repair(self) -> None:
        """Make the broken template work."""
        self._repaired.touch()

    def run(self, *arguments: str, ends: int = 0) -> None:
        """Show a command, run it as a process and show what it printed."""
        SIGNALS.raise_if_ending()
        echo(faint("  $ galaxy-notify " + " ".join(arguments)))
        done = subprocess.run(
            self._command(*arguments),
            env=self._environ,
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        for line in (done.stdout + done.stderr).decode(errors="replace").splitlines():
            echo(f"  {line}")
        if done.returncode != ends:
            raise click.ClickException(f"demo: {arguments[0]} ended with {done.returncode}")

    def published_ms(self, notification_id: str | None) -> int:
        """Return when the only route of a notification was published."""
        found = read_notification(self.deployment, Target(str(notification_id), None))
        assert found is not None
        assert found.routes[0].route is not None
        return int(found.routes[0].route.stream_id.split("-")[0])

    async def read_stream(self, events: int) -> Counter[str]:
        """Read the stream as a gateway does; return how often each event was handed over."""
        seen: Counter[str] = Counter()
        consumer = GatewayConsumer.from_url(self._url, group="demo", consumer="demo-1")

        async def handle(event: Event) -> None:
            seen[event.event_id] += 1
            if seen.total() >= events or SIGNALS.end_signal:
                consumer.stop()

        async with consumer:
            await consumer.run(handle)
        SIGNALS.raise_if_ending()
        return seen

    def accept(self, *intents: dict[str, Any]) -> list[Receipt]:
        """Accept intents; each has a key, so that they may be handed in again."""
        return _patiently(lambda: self.notifier.accept_many(intents))

    def total(self, name: str) -> int:
        """Return how many routes have had this outcome since the deployment began."""
        return _patiently(lambda: read_totals(self.deployment)).get(name, 0)

    def wait_total(self, name: str, at_least: int) -> float:
        """Wait until this many routes have an outcome, and return the seconds it took."""
        started = time.monotonic()
        while self.total(name) < at_least:
            SIGNALS.raise_if_ending()
            if time.monotonic() - started > _PATIENCE_S:
                what = f"{at_least} routes {name}"
                raise click.ClickException(f"demo: timed out after {_PATIENCE_S:.0f} s: {what}")
            time.sleep(_LOOK_EVERY_S)
        return time.monotonic() - started

    def write_intents(self, *intents: dict[str, Any]) -> str:
        """Write a file of intents, one a line, and return its path."""
        path = self._folder / "intents.jsonl"
        path.write_text("".join(json.dumps(intent) + "\n" for intent in intents))
        return str(path)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "galaxy_notify", "--config", str(self._config), *arguments]


def _patiently(call: Callable[[], T]) -> T:
    """Return what a call returns that may be repeated, once Redis answers it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        SIGNALS.raise_if_ending()
        try:
            return call()
        except (RedisFault, Unavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY_S)
