"""Fixtures of all tests: a server per flavour and session, emptied before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from galaxy_notify.redis_state.server_binaries import NAMES
from tests.support.seed import VARIABLE, seed_of_run
from tests.support.servers import (
    Server,
    folder_in_memory,
    running,
    servers_found,
    the_bundled_server,
)

# The machine may be busy: a slow example is no failure.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")


def pytest_configure() -> None:
    """Choose the seed before xdist starts its workers, and where the servers write."""
    seed_of_run()
    Server.root = folder_in_memory()


@pytest.fixture(scope="session")
def server_named() -> Iterator[Callable[[str], Server]]:
    """Start each flavour when it is first asked for, once per session (and per xdist worker)."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> Server:
            if name not in started:
                binary = the_bundled_server() if name == "bundled" else servers_found()[name]
                started[name] = stack.enter_context(running(binary))
            return started[name]

        yield get


@pytest.fixture
def server(server_named: Callable[[str], Server]) -> Server:
    """Give an empty server: the bundled one."""
    found = server_named("bundled")
    found.flush()
    return found


@pytest.fixture(params=list(servers_found()) or ["bundled"])
def any_server(request: pytest.FixtureRequest, server_named: Callable[[str], Server]) -> Server:
    """Give an empty server; the test runs once on each flavour this machine has."""
    found = server_named(request.param)
    found.flush()
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers this run used, and what it could not run."""
    found = servers_found()
    terminalreporter.section("servers")
    terminalreporter.line(f"{VARIABLE}={seed_of_run()} repeats what the fault tests drew")
    for name, binary in found.items():
        terminalreporter.line(f"{name}: {binary}")
    programs = {binary.path.name for binary in found.values() if not binary.bundled}
    for name in NAMES:
        if name not in programs:
            terminalreporter.line(f"not run: anything on {name}, which is not installed")
    left_out: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[reason] = left_out.get(reason, 0) + 1
    for reason, tests in sorted(left_out.items()):
        terminalreporter.line(f"not run: {tests} × {reason.removeprefix('Skipped: ')}")
