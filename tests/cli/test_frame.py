"""What all commands share: help, exit codes, errors in one line, output that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from galaxy_notify import __version__
from galaxy_notify.cli.exits import exit_code_of
from galaxy_notify.cli.group import COMMANDS, cli
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.servers import Server
from tests.support.wait import HANG_S

ALL = [name for section in COMMANDS.values() for name in section]


def test_help__lists_every_command_by_section() -> None:
    """The help names each command without loading one."""
    done = CommandLine(NOWHERE).run("--help")
    assert done.exit_code == 0
    for name in (*COMMANDS, *ALL):
        assert name in done.stdout


@pytest.mark.parametrize("name", ALL)
def test_help__says_the_same_as_the_command(name: str) -> None:
    """The list and the command describe it in the same words."""
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
    assert command is not None
    text = next(text[name] for text in COMMANDS.values() if name in text)
    assert (command.help or "").startswith(text.rstrip("."))
    assert CommandLine(NOWHERE).run(name, "--help").exit_code == 0


@pytest.mark.parametrize("name", sorted({*ALL} - {"run", "serve", "gateway", "demo", "completion"}))
def test_json__is_an_option_of_every_command(name: str) -> None:
    """Every command but those that print no data has ``--json``."""
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
    assert command is not None
    for each in _leaves(command):
        options = {option for param in each.params for option in param.opts}
        assert "--json" in options or each.name == "consume"


def _leaves(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for each in command.commands.values() for leaf in _leaves(each)]


def test_version__is_told_without_loading_redis() -> None:
    """The version comes at once: nothing heavy is imported for it."""
    program = (
        "import sys; sys.argv[1:] = ['--version']\n"
        "from galaxy_notify.cli import main\n"
        "try: main()\n"
        "finally: assert not {'redis', 'pydantic', 'opentelemetry'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"galaxy-notify {__version__}\n"


def test_usage__is_2() -> None:
    """What cannot be parsed is a usage error."""
    command = CommandLine(NOWHERE)
    for arguments in ((), ("nope",), ("status", "--nope"), ("show",)):
        assert command.run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(("stauts",), "status"), (("dead", "lss"), "ls"), (("prefs", "exprot"), "export")],
)
def test_unknown_command__names_a_similar_one(arguments: tuple[str, ...], meant: str) -> None:
    """A slip of the fingers is answered with what was meant."""
    done = CommandLine(NOWHERE).run(*arguments)
    assert done.exit_code == 2
    assert f"Did you mean '{meant}'?" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("show", "0" * 32), ("pause", "push"), ("cancel", "0" * 32), ("health",)],
)
def test_redis_away__is_1_in_one_line(arguments: tuple[str, ...]) -> None:
    """Without Redis a command fails with one line that says so."""
    done = CommandLine(NOWHERE).run(*arguments)
    assert done.exit_code == 1
    assert "redis is away: " in done.output
    assert len(done.output.splitlines()) == 1


def test_bad_configuration__is_78_in_one_line(tmp_path: Path) -> None:
    """What is wrong with the settings ends every command the same way."""
    wrong = CommandLine(NOWHERE, {"WORKER__SHARDS": "0", "NOPE": "1"})
    missing = tmp_path / "missing.toml"
    for done in (wrong.run("status"), CommandLine(NOWHERE).run("--config", str(missing), "health")):
        assert done.exit_code == 78
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("galaxy-notify: ")
    assert "1 more: galaxy-notify config check" in wrong.run("status").stderr


def test_wrong_password__is_78_and_never_shown(server: Server) -> None:
    """A refused password is a matter of configuration; it is not printed."""
    with server.client() as client:
        client.acl_setuser("ann", enabled=True, passwords=["+right"], categories=["+@all"])
    command = command_for(server, REDIS__USERNAME="ann", REDIS__PASSWORD="s3cret-wrong")
    for name in ("status", "health", "doctor", "config"):
        done = command.run(*([name, "show"] if name == "config" else [name]))
        assert done.exit_code == {"doctor": 1, "config": 0}.get(name, 78)
        assert "s3cret-wrong" not in done.output


def test_internal_error__is_one_line_unless_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is told in one line; ``--debug`` shows where."""
    monkeypatch.setattr(
        "galaxy_notify.settings.load_settings", lambda *_, **__: dict[str, int]()["no such key"]
    )
    short = CommandLine(NOWHERE).run("status")
    long = CommandLine(NOWHERE).run("--debug", "status")
    assert short.exit_code == long.exit_code == 1
    assert short.stderr.startswith("galaxy-notify: internal error: KeyError")
    assert len(short.stderr.splitlines()) == 1
    assert "Traceback" in long.stderr


def test_interrupt__is_130_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a command without a word."""
    assert exit_code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments", [("config", "show"), ("config", "defaults"), ("--help",), ("status",)]
)
def test_closed_pipe__ends_quietly(server: Server, arguments: tuple[str, ...]) -> None:
    """A reader that leaves ends the command with 0 and no traceback, at its very end too."""
    reading, writing = os.pipe()
    os.close(reading)
    with command_for(server).start(*arguments, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, errors) == (0, "")


def test_full_disk__is_1_in_one_line(server: Server) -> None:
    """Output that cannot be written is a failure, not a traceback."""
    with (
        open("/dev/full", "w") as full,
        command_for(server).start("status", stdout=full, stderr=subprocess.PIPE) as process,
    ):
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert errors == "galaxy-notify: cannot write output: No space left on device\n"


def test_closed_streams__are_no_defect(server: Server) -> None:
    """A process without standard streams fails plainly, or works in silence."""
    command = command_for(server)
    with command.start("accept", stderr=subprocess.PIPE, preexec_fn=_without_input) as process:
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 2
    assert "standard input" in errors
    with command.start("status", preexec_fn=_without_output) as process:
        assert process.wait(timeout=HANG_S) == 0


def _without_input() -> None:
    os.close(0)


def _without_output() -> None:
    os.close(1)
    os.close(2)


def test_colours__only_for_a_terminal_that_wants_them(server: Server) -> None:
    """No escape sequence gets into a pipe, and NO_COLOR keeps a terminal plain."""
    command = command_for(server)
    assert "\x1b" not in command.run("status").stdout
    assert "\x1b" in _on_terminal(command, {})
    assert "\x1b" not in _on_terminal(command, {"NO_COLOR": "1"})


def test_completion__knows_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script and what it asks for are there."""
    command = CommandLine(NOWHERE)
    assert "_GALAXY_NOTIFY_COMPLETE" in command.run("completion", "zsh").stdout
    monkeypatch.setenv("_GALAXY_NOTIFY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "galaxy-notify conf")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert command.run().stdout == "plain,config\n"


def _on_terminal(command: CommandLine, environ: dict[str, str]) -> str:
    controller, terminal = os.openpty()
    command.environ |= environ
    with command.start("status", stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        try:
            while block := os.read(controller, 65536):
                shown += block
        except OSError:  # Linux ends a terminal that nobody holds with an error
            pass
    os.close(controller)
    assert process.returncode == 0
    return shown.decode()


def test_end__runs_what_was_registered_for_it() -> None:
    """A command ends at once, with its code, its whole output, and what others asked for."""
    code = (
        "import atexit, sys; from galaxy_notify.cli import main;"
        "atexit.register(lambda: print('registered', flush=True));"
        "sys.argv = ['galaxy-notify', 'show', 'nothing']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 3
    assert done.stdout == "registered\n"
    assert "nothing is not a valid id" in done.stderr
