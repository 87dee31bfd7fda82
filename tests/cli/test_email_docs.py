"""docs/email.md: its first example, with the mail server of examples/."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.contacts import key
from tests.support.documents import commands, text_of
from tests.support.program import ROOT, daemon, status
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

DOCUMENT = "docs/email.md"


@contextmanager
def taking(certificate: Path, port: str) -> Iterator[Iterator[str]]:
    """Run the mail server until the block ends, and give the lines that it prints."""
    command = [sys.executable, "examples/mail_server.py", str(certificate), port]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield iter(process.stdout)
        finally:
            process.kill()


def run(line: str, environ: dict[str, str]) -> None:
    """Run a line in a shell."""
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_document__delivers_in_five_minutes(server: Server, tmp_path: Path) -> None:
    """Every command of the first example works, and the server prints what the page says."""
    script = tmp_path / "galaxy-notify"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m galaxy_notify "$@"\n')
    script.chmod(0o755)
    certificate, port = tmp_path / "mail.pem", str(free_port())
    variables = {
        "GALAXY_NOTIFY_CONFIG": "examples/email.toml",
        "GALAXY_NOTIFY_CONTACTS__KEYS": key(),
        "GALAXY_NOTIFY_CHANNELS__MAIL__PORT": port,
        "SSL_CERT_FILE": str(certificate),
    }
    environ = os.environ | variables | {"GALAXY_NOTIFY_REDIS__URL": server.url}
    environ |= {"PATH": f"{tmp_path}{os.pathsep}{environ['PATH']}", "PYTHONPATH": str(ROOT)}
    add, test, accept = commands(DOCUMENT)
    with taking(certificate, port) as lines:
        assert next(lines).startswith("listening on")
        with daemon(server, **variables):
            wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
            run(add, environ)
            run(test, environ)
            run(accept, environ)
            heads = (line.rstrip() for line in lines if line.startswith("to "))
            first, second = next(heads), next(heads)
            wait_until(lambda: status(server, **variables)["totals"]["delivered"], "it is ended")
    assert f"The server prints `{first}`, then `{second}`, each with its text." in " ".join(
        text_of(DOCUMENT).split()
    )
