"""The patience of commands that tests start: they have it, and nothing else is changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.patience import CALL_S, CONNECT_S, patient

_ASK = (
    "from galaxy_notify.redis_client.connection import sync_client;"
    "options = sync_client('redis://h').connection_pool.connection_kwargs;"
    "print(options['socket_timeout'], options['socket_connect_timeout'])"
)


@pytest.mark.parametrize("path", ["", os.pathsep.join(["nowhere", "elsewhere"])])
def test_patient__lets_calls_of_a_program_wait(path: str) -> None:
    """Whatever else is on its path, which stays there."""
    environ = patient({**os.environ, "PYTHONPATH": path})
    assert environ["PYTHONPATH"].endswith(path)
    done = subprocess.run(
        [sys.executable, "-c", _ASK], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(CALL_S), str(CONNECT_S)]


def test_patient__loads_nothing_of_the_program() -> None:
    """A program that does not connect begins as fast as ever."""
    ask = "import sys; print([name for name in sys.modules if name.startswith('galaxy')])"
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=patient(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
