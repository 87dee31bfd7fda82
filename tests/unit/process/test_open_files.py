"""How many files a process may open."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """\
import resource
from galaxy_notify.process.open_files import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(50, 200), (200, 200)])
def test_limit__is_raised_as_far_as_it_may(soft: int, hard: int) -> None:
    """The process that begins with few may have what its supervisor allows, and no more."""
    script = _SCRIPT.format(soft=soft, hard=hard)
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(hard)] * 3
