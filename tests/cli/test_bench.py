"""``bench``: what it tells, and that nothing is left of it, however it ends."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from galaxy_notify.cli.bench_measure import check_empty, remove, throwaway_settings
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import settings_from
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until


def _keys(server: Server) -> set[bytes]:
    with server.client() as client:
        return set(client.scan_iter(count=1000))


def test_bench__tells_what_it_measured(any_server: Server) -> None:
    """Every figure is a positive number, and every key is gone."""
    told = command_for(any_server).told("bench", "--routes", "300")
    assert told["server"]["version"] == any_server.binary.version
    assert told["routes"] == 300
    assert 0 < told["round_trip_ms"]["p50"] <= told["round_trip_ms"]["p99"]
    assert min(told["xadd_per_s"], told["accepted_per_s"], told["published_per_s"]) > 0
    assert told["removed_keys"] > 300
    assert _keys(any_server) == set()


def test_bench__shows_a_table(server: Server) -> None:
    """A person reads a table and how much was removed; the prefix is said beforehand."""
    done = command_for(server).run("bench", "--routes", "100")
    assert done.exit_code == 0
    assert "publish, one worker" in done.stdout
    assert "keys below gn-bench-" in done.stdout
    assert "gn-bench-" in done.stderr


def test_bench__leaves_the_deployment_alone(server: Server) -> None:
    """Neither the operator's keys nor his stream change, whatever his settings say."""
    command = command_for(server, GATEWAY__STREAM="events", WORKER__CHANNELS='["push","mail"]')
    command.accept(PLAIN, {**PLAIN, "channels": ["mail"]})
    before = _dumped(server)
    assert command.run("bench", "--routes", "100").exit_code == 0
    assert _dumped(server) == before


def _dumped(server: Server) -> dict[bytes, object]:
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter()}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_bench__cleans_up_when_interrupted(
    server: Server, number: signal.Signals, code: int
) -> None:
    """Ctrl-C and SIGTERM in the middle of the work leave nothing behind."""
    with command_for(server).start(
        "bench", "--routes", "50000", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: len(_keys(server)) > 500, "the work has begun")
        process.send_signal(number)
        assert process.wait(HANG_S) == code
    assert _keys(server) == set()


def test_bench__cleans_up_after_a_failure(server: Server) -> None:
    """A server that runs out of memory is told, and is left as it was."""
    with server.client() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + (2 << 20))
        try:
            done = command_for(server).run("bench", "--routes", "100000")
        finally:
            client.config_set("maxmemory", 0)
    assert done.exit_code == 1
    assert "OOM" in done.stderr
    assert _keys(server) == set()


def test_bench__refuses_a_prefix_in_use(server: Server) -> None:
    """A key below the prefix, or a prefix that is not thrown away, is never touched."""
    own = settings_from({"redis": {"url": server.url}})
    settings = throwaway_settings(own)
    deployment, foreign = connect(settings), connect(own)
    try:
        check_empty(deployment)
        deployment.client.set(deployment.keys(0).totals, "mine")
        with pytest.raises(ConfigurationError, match="in use"):
            check_empty(deployment)
        for refused in (check_empty, remove):
            with pytest.raises(ConfigurationError, match="not a temporary prefix"):
                refused(foreign)
    finally:
        deployment.close()
        foreign.close()


def test_bench__without_redis_is_1() -> None:
    """An absent server is told in one line."""
    done = CommandLine(NOWHERE).run("bench")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_bench__json_is_one_line(server: Server) -> None:
    """The document is one line, and nothing else goes to the output."""
    done = command_for(server).run("bench", "--routes", "100", "--json")
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["routes"] == 100
