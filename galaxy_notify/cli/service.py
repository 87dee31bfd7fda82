"""How a command is run that serves until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from galaxy_notify.errors import ConfigurationError, Unavailable

_LINGER_S: Final = 1.0
#: Python's own; a collection of more objects would hold up the event loop.
_OBJECTS: Final = 700


def serve(
    run: Callable[[], Awaitable[None]],
    failed: Callable[[Exception], object],
    *,
    lingers: bool = False,
) -> None:
    """Run to the end; for a defect *failed* logs it, and the process exits with 1.

    One that *lingers* has work to do when it is over.
    """
    # All is done by then, but asyncio waits for a name look-up however long that hangs.
    leaving = threading.Timer(_LINGER_S, os._exit, (0,))
    leaving.daemon = True

    # What is loaded by now stays, and is not looked through again.
    gc.freeze()
    gc.set_threshold(_OBJECTS)

    async def main() -> None:
        await run()
        if not lingers:
            leaving.start()

    try:
        asyncio.run(main())
    except (ConfigurationError, Unavailable):
        raise
    except Exception as error:
        # The supervisor starts it again; unfinished work is taken up again.
        failed(error)
        sys.exit(1)
    finally:
        leaving.cancel()
