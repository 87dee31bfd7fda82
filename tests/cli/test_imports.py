"""What a program and each command load: nothing that they do not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import Server

#: What only a process that serves, exports or logs uses.
SERVING: Final = (
    *("fastapi", "starlette", "uvicorn", "jwt", "prometheus_client"),
    *("structlog", "grpc", "google", "requests", "opentelemetry.exporter"),
    *("galaxy_notify.http", "galaxy_notify.daemon", "galaxy_notify.telemetry.logs"),
)
#: What takes a tenth of a second and more.
HEAVY: Final = (*SERVING, "redis", "opentelemetry", "asyncio", "pydantic", "pydantic_settings")
#: What redis-py loads by itself, among it OpenTelemetry's SDK where that is installed.
BASE: Final = "import redis, msgpack, pydantic"
NO_TELEMETRY: Final = {name: text for name, text in os.environ.items() if "OTEL" not in name}
RUN: Final = """
def run(*words):
    out = io.TextIOWrapper(io.BytesIO())
    sys.stdin = io.TextIOWrapper(io.BytesIO(json.dumps(INTENT).encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            cli(words)
    except SystemExit as end:
        if end.code not in (0, *ALLOWED):
            raise RuntimeError(f"{words}: {end.code}") from None
"""
EVERY_HELP: Final = """
def helps(command, *words):
    run(*words, "--help")
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        helps(command.get_command(None, name), *words, name)
helps(cli)
"""


def loaded(code: str, *, first: str = "pass", environ: dict[str, str] | None = None) -> list[str]:
    """Return the modules that code loads in a fresh interpreter, beyond those of *first*."""
    told = f"import sys\n{first}\nbefore = set(sys.modules)\n{code}\n"
    told += "import json\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", told],
        env=NO_TELEMETRY | (environ or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def loaded_by(*commands: str, url: str = "", allowed: tuple[int, ...] = (), code: str = "") -> Any:
    """Return the modules that commands load, one after the other in one interpreter."""
    lines = [f"INTENT, ALLOWED = {PLAIN!r}, {allowed!r}", "import contextlib, io, json"]
    lines += ["from galaxy_notify.cli.group import cli", RUN, code]
    lines += [f"run(*{command.split()!r})" for command in commands]
    return loaded("\n".join(lines), environ={"GALAXY_NOTIFY_REDIS__URL": url} if url else None)


def among(modules: list[str], names: tuple[str, ...]) -> list[str]:
    """Return those modules that are, or lie in, one of these packages."""
    return [one for one in modules if any(f"{one}.".startswith(f"{name}.") for name in names)]


def test_import__of_the_notifier_loads_what_it_uses() -> None:
    """Beside redis-py, msgpack and pydantic: no SDK, no settings, no log, nothing of asyncio."""
    modules = loaded("from galaxy_notify import Intent, Notifier", first=BASE)
    unused = (
        *("opentelemetry", "asyncio", "pydantic_settings", "dotenv", "tomllib", "argparse"),
        *("galaxy_notify.settings.sections", "galaxy_notify.embedded.server"),
    )
    assert "galaxy_notify.intake.notifier" in modules
    assert among(modules, (*SERVING, *unused)) == []


def test_import__of_an_intent_or_a_receipt_loads_no_redis() -> None:
    """Whoever only makes intents and reads receipts waits for no client."""
    modules = loaded("from galaxy_notify import Cancelled, Intent, Receipt, Rescheduled")
    unused = (*SERVING, "redis", "opentelemetry", "asyncio", "pydantic_settings")
    assert among(modules, unused) == []


def test_import__of_the_realtime_library_loads_no_server() -> None:
    """An application that has its own needs neither extra."""
    modules = loaded("from galaxy_notify.realtime import Presence, StreamEvent, Streams")
    servers = ("uvicorn", "httptools", "jwt", "websockets", "fastapi", "prometheus_client")
    assert "galaxy_notify.realtime.instance" in modules
    assert among(modules, (*servers, "galaxy_notify.web", "galaxy_notify.http")) == []


def test_import__of_the_values_of_the_feed_loads_no_postgres() -> None:
    """Who only makes publications and reads receipts needs no extra."""
    modules = loaded("from galaxy_notify.feed import Counts, FeedItem, FeedReceipt, Publication")
    assert "galaxy_notify.model.publication" in modules
    assert among(modules, (*SERVING, "psycopg", "asyncio", "opentelemetry")) == []


def test_extra__of_the_feed_is_named() -> None:
    """Without psycopg one line says what to install, in a program and on the command line."""
    lost = "import sys\nsys.modules['psycopg'] = None\n"
    install = "pip install 'galaxy-notify[feed]'"
    library = lost + "from galaxy_notify.feed import Feed"
    commands = [["counts", "u1"], ["migrate"], ["migrate", "--sql"]]
    codes = [
        f"{lost}from galaxy_notify.cli.group import cli\ncli({['feed', *c]!r})" for c in commands
    ]
    for code in (library, *codes):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"GALAXY_NOTIFY_FEED__URL": "postgresql://ann@localhost/feed"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.splitlines()[-1].endswith(install)
        assert done.returncode == (1 if code is library else 78)


def test_help__and_completion_load_nothing_heavy() -> None:
    """The help of every command, the script for the shell and what it asks for are quick."""
    modules = loaded_by("--version", "completion bash", code=EVERY_HELP)
    assert "galaxy_notify.cli.intake" in modules
    assert among(modules, HEAVY) == []


def test_completion__of_words_loads_nothing_heavy() -> None:
    """What the shell asks at each press of the tabulator is quick."""
    asked = {
        "_GALAXY_NOTIFY_COMPLETE": "bash_complete",
        "COMP_WORDS": "galaxy-notify stream ta",
        "COMP_CWORD": "2",
    }
    code = """
from galaxy_notify.cli.group import cli
try:
    cli([])
except SystemExit:
    pass
"""
    modules = loaded(code, environ=asked)
    assert "galaxy_notify.cli.stream" in modules
    assert among(modules, HEAVY) == []


@pytest.mark.parametrize("command", ["accept --check", "config show", "config defaults"])
def test_command__without_redis_loads_no_client(command: str) -> None:
    """What asks no server loads nothing to ask it with."""
    assert among(loaded_by(command), (*SERVING, "redis", "opentelemetry")) == []


def test_command__that_answers_loads_no_exporter_and_no_log(server: Server) -> None:
    """A command that asks the server and ends loads what redis-py loads, and nothing to serve."""
    found_deployment(server.url)
    commands = (
        *("accept", "list", "status", "health", "doctor", "fsck", "pause push", "resume push"),
        *("dead ls", "dead stats", "stream groups", "stream tail", "prefs get u1", "intake status"),
    )
    modules = loaded_by(*commands, url=server.url, allowed=(1, 3))
    assert "galaxy_notify.intake.notifier" in modules
    assert among(modules, SERVING) == []
    assert among(modules, ("opentelemetry",)) == among(loaded(BASE), ("opentelemetry",))
