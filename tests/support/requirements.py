"""The one place where a test may be left out: the machine lacks a program."""

from __future__ import annotations

import os
import shutil

import pytest

from galaxy_notify.embedded.binaries import NAMES, installed_servers


def requires_program(program: str) -> pytest.MarkDecorator:
    """Leave a test out, and have the summary say so, where a program is not installed."""
    return pytest.mark.skipif(not _is_there(program), reason=f"needs {program}")


def _is_there(program: str) -> bool:
    if program in NAMES:  # the bundled redis-server may stand on the PATH: it does not count
        servers = installed_servers(os.environ["PATH"])
        return any(server.path.name.startswith(program) for server in servers)
    return shutil.which(program) is not None
