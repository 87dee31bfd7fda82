"""The dead letter commands: what they print, what they refuse, and how they end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.cli.context import actor
from galaxy_notify.model.route import Failure
from tests.support.dead_letters import (
    PLAIN,
    DeadLetterFixture,
    cli_environment,
    command_line,
    dead_letter_fixture,
    run_cli,
)
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

KEYS = ["id", "channel", "recipient", "type", "producer", "class", "message", "attempts"]
KEYS += ["generation", "dead_at_ms", "worker"]


@pytest.fixture
def deployment(server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of two channels."""
    with dead_letter_fixture(server, channels=("push", "email")) as made:
        yield made


def lines(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_ls__prints_the_contract_as_json_lines(
    server: Server, deployment: DeadLetterFixture
) -> None:
    """Each line has exactly the agreed keys, in their order."""
    (member,) = deployment.bury()
    done = run_cli(server, "dead", "ls", "--json")
    assert done.returncode == 0
    (line,) = lines(done.stdout)
    assert list(line) == KEYS
    assert line == {
        "id": member,
        "channel": "push",
        "recipient": "u1",
        "type": "game.ready",
        "producer": "lobby",
        "class": "payload_encoding_failed",
        "message": "no such codec",
        "attempts": 1,
        "generation": 1,
        "dead_at_ms": deployment.dead()[member],
        "worker": "host-1-abcd",
    }


def test_ls__aligns_columns_for_people(server: Server, deployment: DeadLetterFixture) -> None:
    """The columns start where their headings do, and a message cannot steer the terminal."""
    deployment.bury(kind=PLAIN._replace(failure=Failure("payload_too_large", "a\x1b[2Jb")))
    done = run_cli(server, "dead", "ls")
    head, row = done.stdout.splitlines()
    assert head.index("class") == row.index("payload_too_large")
    assert head.index("id") + 0 == row.index(next(iter(deployment.dead())))
    assert "\x1b" not in done.stdout


def test_ls__shows_100_unless_told(server: Server, deployment: DeadLetterFixture) -> None:
    """More are shown when asked for, and a hint says so."""
    deployment.bury(number=120)
    assert len(run_cli(server, "dead", "ls").stdout.splitlines()) == 101
    assert "there may be more" in run_cli(server, "dead", "ls").stderr
    assert len(lines(run_cli(server, "dead", "ls", "--json", "--limit", "110").stdout)) == 110
    assert len(lines(run_cli(server, "dead", "ls", "--json", "--all").stdout)) == 120


@pytest.mark.parametrize("verb", ["ls", "export", "replay", "purge"])
def test_dead__nothing_matched_is_3(
    server: Server, deployment: DeadLetterFixture, verb: str
) -> None:
    """A filter that nothing meets, or an id of none, ends with 3."""
    member = deployment.bury()[0].replace("u1", "u2")
    yes = ["--yes"] if verb in ("replay", "purge") else []
    assert run_cli(server, "dead", verb, "--class", "record_corrupt", *yes).returncode == 3
    assert run_cli(server, "dead", verb, member).returncode == 3


def test_dead__filters_reach_every_command(server: Server, deployment: DeadLetterFixture) -> None:
    """Channel, type, producer, class and time pick the same everywhere."""
    deployment.bury(number=2)
    (mail,) = deployment.bury(("email:u1",), kind=PLAIN._replace(type="chat", producer="shop"))
    for filters in (
        ["--channel", "email"],
        ["--type", "chat"],
        ["--producer", "shop"],
        ["--type", "chat", "--type", "other", "--since", "1h", "--until", "0s"],
    ):
        listed = lines(run_cli(server, "dead", "ls", "--json", *filters).stdout)
        assert [line["id"] for line in listed] == [mail]
        stats = json.loads(run_cli(server, "dead", "stats", "--json", *filters).stdout)
        assert stats["total"] == 1
        dry = run_cli(server, "dead", "replay", "--dry-run", *filters)
        assert dry.stdout.startswith("would move 1 of 1")
    assert run_cli(server, "dead", "ls", "--until", "1h").returncode == 3
    assert len(deployment.dead("email")) == 1


def test_stats__for_people_and_programs(server: Server, deployment: DeadLetterFixture) -> None:
    """Counts come by class, channel, type and producer."""
    deployment.bury(number=2)
    document = json.loads(run_cli(server, "dead", "stats", "--json").stdout)
    assert document["classes"] == {"payload_encoding_failed": 2}
    assert document["channels"] == {"push": 2}
    shown = run_cli(server, "dead", "stats")
    assert shown.returncode == 0
    assert shown.stdout.startswith("2 dead\n")


def test_show__explains_with_history(server: Server, deployment: DeadLetterFixture) -> None:
    """One dead letter is told with all that happened to it."""
    (member,) = deployment.bury()
    run_cli(server, "dead", "replay", member)
    deployment.die("push", 0)
    shown = run_cli(server, "dead", "show", f"{member}#2")
    assert shown.returncode == 0
    for told in (member, "no such codec", "generation 2", "replayed", actor()):
        assert told in shown.stdout
    (document,) = lines(run_cli(server, "dead", "show", "--json", member).stdout)
    events = [line["event"] for line in document["history"]]
    assert events == ["dead-lettered", "replayed", "dead-lettered"]
    assert run_cli(server, "dead", "show", member.replace("u1", "u2")).returncode == 3


def test_export__includes_the_payload(server: Server, deployment: DeadLetterFixture) -> None:
    """An export has what `ls` says, the history and the producer's data."""
    deployment.bury()
    (line,) = lines(run_cli(server, "dead", "export").stdout)
    assert list(line)[: len(KEYS)] == KEYS
    assert line["payload"]["data"] == {"turn": 12}


def test_replay__says_how_many_of_how_many(server: Server, deployment: DeadLetterFixture) -> None:
    """All moved is 0, some is 4, and again is 3."""
    first, second = deployment.bury(number=2)
    done = run_cli(server, "dead", "replay", first)
    assert (done.returncode, done.stdout) == (0, "moved 1 of 1: due again\n")
    some = run_cli(server, "dead", "replay", first, second)
    assert some.returncode == 4
    assert some.stdout.startswith("moved 1 of 2")
    again = run_cli(server, "dead", "replay", first, second)
    assert again.returncode == 3
    assert again.stdout.startswith("moved 0 of 2")
    assert deployment.route(first).history[-1].worker == actor()
    assert deployment.total("replayed") == 2


def test_purge__moves_and_tells_as_json(server: Server, deployment: DeadLetterFixture) -> None:
    """The document of a run has all counts."""
    deployment.bury(number=3)
    done = run_cli(server, "dead", "purge", "--all", "--yes", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["action"], document["matched"], document["moved"]) == ("purge", 3, 3)
    assert deployment.total("purged") == 3


@pytest.mark.parametrize("form", ["ids", "json"])
def test_replay__takes_ids_from_standard_input(
    server: Server, deployment: DeadLetterFixture, form: str
) -> None:
    """What `ls` prints can be piped into `replay`, with or without jq in between."""
    deployment.bury(number=3)
    listed = run_cli(server, "dead", "ls", "--json", "--limit", "2").stdout
    given = "\n".join(line["id"] for line in lines(listed)) if form == "ids" else listed
    done = run_cli(server, "dead", "replay", "-", stdin=given)
    assert (done.returncode, done.stdout) == (0, "moved 2 of 2: due again\n")
    assert len(deployment.dead()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["purge"],
        ["purge", "--limit", "5", "--yes"],
        ["replay", "--all"],
        ["purge", "--class", "record_corrupt"],
        ["ls", "--class", "foo"],
        ["stats", "--class", "foo"],
        ["export", "--channel", "sms"],
        ["purge", "--channel", "sms", "--yes"],
        ["replay", "no id"],
        ["replay", "0" * 32, "--all"],
        ["replay", "-", "0" * 32],
        ["ls", "--since", "yesterday"],
        ["ls", "--limit", "0"],
        ["ls", "--channel", "No Channel"],
        ["replay", "--all", "--yes", "--rate", "0"],
        ["show"],
    ],
    ids=" ".join,
)
def test_dead__refuses_what_nobody_could_mean(
    server: Server, deployment: DeadLetterFixture, arguments: list[str]
) -> None:
    """Bulk needs a filter or --all, and --yes without a terminal; nothing is touched."""
    deployment.bury()
    done = run_cli(server, "dead", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(deployment.dead()) == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 1, 5)])
def test_purge__asks_at_a_terminal(
    server: Server, deployment: DeadLetterFixture, answer: str, code: int, left: int
) -> None:
    """A person sees how many and a sample, and decides."""
    deployment.bury(number=5)
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command_line("dead", "purge", "--all"),
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        env=cli_environment(server),
    ) as process:
        os.close(terminal)
        seen = b""
        while b"[y/N]" not in seen:
            seen += os.read(controller, 4096)
        os.write(controller, f"{answer}\n".encode())
        assert process.wait(HANG_S) == code
    os.close(controller)
    assert b"purge 5 dead letters?" in seen
    assert seen.count(b"payload_encoding_failed") == 3
    assert b"and 2 more" in seen
    assert len(deployment.dead()) == left


def test_replay__interrupted_says_how_far_it_came(
    server: Server, deployment: DeadLetterFixture
) -> None:
    """Ctrl-C ends a run after the batch in hand, and the count is exact."""
    deployment.bury(number=1000)
    with subprocess.Popen(
        command_line("dead", "replay", "--all", "--yes", "--rate", "50", "--json"),
        env=cli_environment(server),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: deployment.total("replayed") >= 5, "some are moved")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=HANG_S)
    document = json.loads(output)
    assert process.returncode == 4
    assert document["stopped"]
    assert document["moved"] == deployment.total("replayed") == 1000 - len(deployment.dead())


def test_dead__without_redis_is_1(server: Server) -> None:
    """Where Redis is away, one line says so."""
    environment = cli_environment(server) | {"GALAXY_NOTIFY_REDIS__URL": "unix:///nowhere/r.sock"}
    done = subprocess.run(
        command_line("dead", "ls"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--class", "foo", "'record_missing'"), ("--channel", "sms", "(known: push")],
)
def test_filters__unknown_values_are_refused_with_the_known(
    server: Server, deployment: DeadLetterFixture, option: str, value: str, known: str
) -> None:
    """What no dead letter can be is wrong usage, not an empty answer."""
    deployment.bury()
    for verb in ("ls", "stats", "export", "replay", "purge"):
        yes = ["--yes"] if verb in ("replay", "purge") else []
        done = run_cli(server, "dead", verb, option, value, *yes)
        assert done.returncode == 2
        assert known in done.stderr
