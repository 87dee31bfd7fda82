"""``python -m tests.faults.support.daemon``: the program, with the failpoints of GN_FAILPOINTS."""

from __future__ import annotations

import json
import os
import sys

from galaxy_notify.cli import main
from tests.faults.support.failpoints import VARIABLE, Failpoints, install


def _start() -> None:
    text = os.environ[VARIABLE]
    try:
        points = Failpoints(text)
    except ValueError as error:
        sys.exit(str(error))
    install(points)
    # A line of the log: nobody who reads it may take such a process for a sound one.
    sys.stderr.write(json.dumps({"event": "failpoints set", "points": text}) + "\n")
    main()


if __name__ == "__main__":
    _start()
