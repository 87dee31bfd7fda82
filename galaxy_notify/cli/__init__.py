"""The command ``galaxy-notify``: one file per noun, each parses, calls and prints."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import cast

#: More objects than loading makes: what is loaded stays, and looking through it for garbage again
#: and again took a seventh of a short command. What serves goes back to the usual number.
_OBJECTS = 200_000


def main() -> None:
    """Run the command line of this process, and end it with the command's exit code."""
    from galaxy_notify.signals import SIGNALS

    SIGNALS.start()  # before all that takes time
    gc.set_threshold(_OBJECTS)
    # We have no plugins of pydantic; to look for them it reads about every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    from galaxy_notify.cli.standard_streams import open_closed_streams

    open_closed_streams()
    from galaxy_notify.cli.group import cli

    try:
        cli()
    except SystemExit as end:
        _leave(end.code)


def _leave(code: object) -> None:
    """End the process with the code of `SystemExit`, and do not take the interpreter apart.

    That frees one by one what the end frees at once: a seventh of a short command. The output is
    written by now. Where other threads are at work, the interpreter waits for them as usual.
    """
    if threading.active_count() > 1 or not isinstance(code, int):
        sys.exit(cast("str | int | None", code))
    atexit._run_exitfuncs()
    os._exit(code)
