"""How many files a process may have open: each of its connections is one."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

#: Where there is no limit; also the most that Linux grants unless it is told otherwise.
_MOST: Final = 1 << 20


def raise_limit() -> int:
    """Let this process open as many files as it may; return how many that are.

    Shells and many supervisors begin with 1024, and let a process raise that itself.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
