"""Fixtures of all tests: a server per flavour and session, emptied before each test."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from galaxy_notify.embedded.binaries import ServerBinary, version_key
from galaxy_notify.embedded.postgres_binaries import find_postgres
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.redis_client import access, connection
from galaxy_notify.settings import FeedSettings
from tests.support import passed
from tests.support.patience import CALL_S, CONNECT_S
from tests.support.postgres import Postgres, PostgresServer, quick_server
from tests.support.roads import ROADS, Road
from tests.support.seed import VARIABLE, seed_of_run
from tests.support.servers import (
    Server,
    folder_in_memory,
    running,
    servers_found,
    servers_of_run,
)
from tests.support.suite import FEW_EXAMPLES, MANY_EXAMPLES, WANTED, examples, runs_all
from tests.support.suite import VARIABLE as SUITE
from tests.support.telemetry import logging_restored

_USUAL_S = connection.SOCKET_TIMEOUT_S

# The machine may be busy: a slow example is no failure. `make test` tries the same ones each time;
# where others are drawn each time it is no failure either that few of them are of use.
_BY_LUCK = [HealthCheck.data_too_large, HealthCheck.filter_too_much]
hypothesis.settings.register_profile(
    "shared",
    deadline=None,
    derandomize=not runs_all(),
    max_examples=examples(FEW_EXAMPLES, MANY_EXAMPLES),
    suppress_health_check=[HealthCheck.too_slow, *(_BY_LUCK if runs_all() else [])],
)
hypothesis.settings.load_profile("shared")
if not runs_all():
    # Values are drawn from all modules that happen to be loaded, too: of a part of the tests, and
    # of another worker, they would be others.
    pytest.MonkeyPatch().setattr(providers, "_get_local_constants", Constants)


def pytest_configure() -> None:
    """Choose the seed before xdist starts its workers, and where the servers write."""
    # Commands in tests write into pipes; xdist hands its workers the size of the terminal.
    for variable in ("COLUMNS", "LINES"):
        os.environ.pop(variable, None)
    seed_of_run()
    # A busy machine may stand still for longer than a connection or a call may take, in any test.
    pytest.MonkeyPatch().setattr(connection, "CONNECT_TIMEOUT_S", CONNECT_S)
    pytest.MonkeyPatch().setattr(connection, "SOCKET_TIMEOUT_S", CALL_S)
    for name in ("socket_timeout", "socket_connect_timeout"):  # of who asks where the primary is
        pytest.MonkeyPatch().setitem(access._ASKING, name, 3.0)
    Server.root = folder_in_memory()
    _hear_interrupts()


def _hear_interrupts() -> None:
    """Let the programs that tests start hear SIGINT, also where a shell started us with `&`.

    Such a shell has its commands ignore it, and what they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave no test the level of a command that ran in this process before it."""
    with logging_restored():
        yield


@pytest.fixture
def usual_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls give up as soon as they do in production, where a test waits for that."""
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", _USUAL_S)


@pytest.fixture(scope="session")
def server_named() -> Iterator[Callable[[str], Server]]:
    """Start each flavour when it is first asked for, once per session (and per xdist worker)."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> Server:
            if name not in started:
                started[name] = stack.enter_context(running(servers_found()[name]))
            return started[name]

        yield get


@pytest.fixture
def server(server_named: Callable[[str], Server]) -> Server:
    """Give an empty server: the main one."""
    found = server_named(next(iter(servers_found())))
    found.flush()
    return found


@pytest.fixture(params=list(servers_of_run()))
def any_server(request: pytest.FixtureRequest, server_named: Callable[[str], Server]) -> Server:
    """Give an empty server; `make test-all` runs the test once on each that this machine has."""
    found = server_named(request.param)
    found.flush()
    return found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a Postgres when it is first asked for, once per session (and per xdist worker)."""
    with quick_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Postgres]:
    """Give an empty database."""
    postgres_server.ensure_running()
    name = postgres_server.create_database()
    try:
        yield Postgres(postgres_server, name)
    finally:
        postgres_server.ensure_running()
        postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _migrated(postgres_server: PostgresServer) -> str:
    """Name a database with the schema of the feed, to copy."""
    postgres_server.ensure_running()
    name = postgres_server.create_database()
    asyncio.run(migrate(FeedSettings(url=postgres_server.url(name))))
    return name


@pytest.fixture
def feed_database(postgres_server: PostgresServer, _migrated: str) -> Iterator[Postgres]:
    """Give a database with the schema of the feed, and nothing in it."""
    postgres_server.ensure_running()
    name = postgres_server.create_database(_migrated)
    try:
        yield Postgres(postgres_server, name)
    finally:
        postgres_server.ensure_running()
        postgres_server.drop_database(name)


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> Road:
    """Give the road on which routes are published; see tests/support/roads.py."""
    found: Road = request.param
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what passed in the run before, where one is named."""
    passed.leave_out(config, items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the servers this run used, what it could not run, and what to do about a failure."""
    found = servers_of_run()
    passed.record(terminalreporter.stats.get("passed", []))
    terminalreporter.section("servers")
    terminalreporter.line(f"{VARIABLE}={seed_of_run()} repeats what the fault tests drew")
    for name, binary in found.items():
        terminalreporter.line(f"{name}: {binary}")
    for postgres in find_postgres(os.environ["PATH"])[:1]:
        terminalreporter.line(f"postgres: {postgres}")
    missing = _missing(found, terminalreporter.stats.get("skipped", []))
    failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
    if failed:
        _explain(terminalreporter, [report.nodeid for report in failed])
    for line in missing:
        terminalreporter.line(f"not run: {line}")


def _missing(found: dict[str, ServerBinary], skipped: list[pytest.TestReport]) -> list[str]:
    """Return what this machine lacks, with the number of tests that were left out for it."""
    left_out: dict[str, int] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        left_out[reason] = left_out.get(reason, 0) + 1
    lines = [f"{tests} tests: {reason}" for reason, tests in sorted(left_out.items())]
    if runs_all():
        versions = [(one.flavour, version_key(one.version)[0]) for one in found.values()]
        lines += [
            f"all tests of {flavour} {first}, which is not here"
            for flavour, first in WANTED
            if (flavour, first) not in versions
        ]
    return lines


def _explain(terminalreporter: pytest.TerminalReporter, failed: list[str]) -> None:
    terminalreporter.section("what to do")
    terminalreporter.line("one test alone, with all its output:")
    suite = f"{SUITE}=all " if runs_all() else ""
    terminalreporter.line(
        f"  {suite}{os.path.relpath(sys.executable)} -m pytest -n 0 {shlex.quote(failed[0])}"
    )
    terminalreporter.line(f"all {len(failed)} that failed: the same with --last-failed")
