"""How long calls wait in tests: longer than a busy machine stands still."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: How long a call of ours waits for its answer in a test that does not say otherwise.
CALL_S: Final = 8.0
#: How long a connection may take.
CONNECT_S: Final = 20.0
_HOOK = Path(__file__).parent / "patient"


def patient(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command that is to wait as long as the tests themselves.

    A command ends with an error where Redis does not answer in time, and so does a request to the
    HTTP API; daemons, which go on, have the bounds of production.
    """
    path = os.pathsep.join(filter(None, [str(_HOOK), environ.get("PYTHONPATH", "")]))
    return {**environ, "PYTHONPATH": path, "GN_PATIENCE_S": f"{CALL_S} {CONNECT_S}"}
