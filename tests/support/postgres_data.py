"""The data of a Postgres of the tests: made new, or copied from a server that runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from galaxy_notify.embedded.postgres_binaries import PostgresBinaries
from galaxy_notify.embedded.postgres_user import ServerUser
from tests.support.wait import HANG_S


class Login(NamedTuple):
    """Who may log in; *over_tcp* is how that is proved there (of pg_hba.conf)."""

    user: str
    password: str
    over_tcp: str


def make_data(folder: Path, user: ServerUser, binaries: PostgresBinaries, login: Login) -> None:
    """Make the data of a new server."""
    data, password = folder / "data", folder / "password"
    data.mkdir(mode=0o700)
    password.write_text(login.password)
    user.own(data)
    user.own(folder)
    words = [f"--pgdata={data}", f"--username={login.user}", f"--pwfile={password}", "--no-sync"]
    words += ["--encoding=UTF8", "--no-locale", "--auth-local=trust"]
    command = user.command(binaries.initdb, *words, f"--auth-host={login.over_tcp}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=HANG_S)


def copy_data(folder: Path, user: ServerUser, binaries: PostgresBinaries, url: str) -> None:
    """Take the data of a running server in place of one's own, to be its standby."""
    data = folder / "data"
    shutil.rmtree(data)
    user.own(folder)
    words = ["--pgdata", str(data), "--dbname", url, "--checkpoint=fast", "--no-sync"]
    command = user.command(binaries.folder / "pg_basebackup", *words, "--write-recovery-conf")
    subprocess.run(command, check=True, timeout=HANG_S)
