"""docs/channels.md: its first example, with the channel and the chat of examples/."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket

import pytest

from tests.support.contacts import key
from tests.support.documents import commands
from tests.support.program import ROOT, accept, daemon, program, status
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

DOCUMENT = "docs/channels.md"
CHAT = [sys.executable, "examples/channel.py", "--port"]
REFUSED = "ValueError: the chat answered 404"


class Chat:
    """The chat of the example, as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.lines = process.stdout
        self.url = self.lines.readline().split()[-1]

    def variables(self) -> dict[str, str]:
        """Return the environment of the example's commands."""
        return {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(ROOT)]),
            "GALAXY_NOTIFY_CONFIG": "examples/channels.toml",
            "GALAXY_NOTIFY_CONTACTS__KEYS": key(),
            "CHAT_URL": self.url,
        }


@contextmanager
def chatting(port: str = "0") -> Iterator[Chat]:
    """Run the chat until the block ends."""
    with subprocess.Popen([*CHAT, port], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Chat(process)
        finally:
            process.kill()


@pytest.fixture
def chat() -> Iterator[Chat]:
    """Give a chat that runs."""
    with chatting() as running:
        yield running


def in_room(server: Server, chat: Chat, room: str) -> None:
    """Give user-7 an address."""
    listed = f'[{{"address": "{room}", "id": "room"}}]'
    words = ("contacts", "set", "user-7", "--channel", "chat")
    done = program(server, *words, stdin=listed, **chat.variables())
    assert done.returncode == 0, done.stderr


def test_document__delivers_in_five_minutes(server: Server, chat: Chat, tmp_path: Path) -> None:
    """Every command of the first example works, and the chat prints what the document says."""
    script = tmp_path / "galaxy-notify"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m galaxy_notify "$@"\n')
    script.chmod(0o755)
    environ = os.environ | chat.variables() | {"GALAXY_NOTIFY_REDIS__URL": server.url}
    environ["PATH"] = f"{tmp_path}{os.pathsep}{environ['PATH']}"
    lines = commands(DOCUMENT)
    assert len(lines) == 5
    with daemon(server, **chat.variables()):
        wait_until(lambda: status(server, **chat.variables())["workers"], "the daemon works")
        for line in lines:
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=ROOT,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=HANG_S,
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
        assert chat.lines.readline() == "[lobby] user-7: Test message\n"
        assert chat.lines.readline() == "[lobby] user-7: It is your turn\n"
        wait_until(
            lambda: status(server, **chat.variables())["totals"]["delivered"] == 2, "both are ended"
        )


def test_example__is_retried_until_the_chat_is_there(server: Server, chat: Chat) -> None:
    """What may pass costs an attempt, and the notification waits for the next one."""
    with socket() as held:  # nobody listens there, and the port is no one else's
        held.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        variables = chat.variables() | {"CHAT_URL": f"http://127.0.0.1:{port}"}
        with daemon(server, **variables):
            wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
            in_room(server, chat, "lobby")
            accept(server, "user-7", channels=["chat"], title="Late")
            wait_until(lambda: status(server, **variables)["totals"]["retried"], "it is retried")
            with chatting(str(port)) as late:
                assert late.lines.readline() == "[lobby] user-7: Late\n"
                wait_until(
                    lambda: status(server, **variables)["totals"]["delivered"] == 1, "it is ended"
                )


def test_example__is_refused_for_good(server: Server, chat: Chat) -> None:
    """A room that does not exist makes a dead letter, whose message names no address."""
    variables = chat.variables()
    with daemon(server, **variables):
        wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
        in_room(server, chat, "nowhere")
        accept(server, "user-7", channels=["chat"])
        wait_until(lambda: status(server, **variables)["channels"]["chat"]["dead"], "it is dead")
    listed = program(server, "dead", "ls", "--class", "delivery_refused", "--json", **variables)
    assert REFUSED in listed.stdout
    tried = program(server, "channels", "test", "chat", "user-7", **variables)
    assert (tried.returncode, tried.stdout) == (1, f"room  no…  permanent: {REFUSED}\n")
