"""``python -m tests.faults.support.daemon``: the program, with failpoints and names of a test.

They are those of GN_FAILPOINTS and GN_NAMES.
"""

from __future__ import annotations

import json
import os
import sys

from galaxy_notify.cli import main
from tests.faults.support import names
from tests.faults.support.failpoints import VARIABLE, Failpoints, install


def _start() -> None:
    if text := os.environ.get(names.VARIABLE, ""):
        names.install(text)
    if text := os.environ.get(VARIABLE, ""):
        _set_failpoints(text)
    main()


def _set_failpoints(text: str) -> None:
    try:
        points = Failpoints(text)
    except ValueError as error:
        sys.exit(str(error))
    install(points)
    # A line of the log: nobody who reads it may take such a process for a sound one.
    sys.stderr.write(json.dumps({"event": "failpoints set", "points": text}) + "\n")


if __name__ == "__main__":
    _start()
