"""Names that a process finds here, or whose look-up hangs, whatever the name server says.

`daemon.py` puts them around the look-up of the C library, as GN_NAMES asks: a JSON object of the
ends of names, each with an address, or null for one that never answers.
"""

from __future__ import annotations

import json
import socket
import threading
from functools import wraps
from typing import Any, Final

VARIABLE: Final = "GN_NAMES"
#: Longer than any sender waits.
_HANG_S: Final = 60.0


def install(text: str) -> None:
    """Have names be looked up so, in this process and for good."""
    names: dict[str, str | None] = json.loads(text)
    plain = socket.getaddrinfo

    @wraps(plain)
    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        for end, address in names.items():
            if isinstance(host, str) and host.endswith(end):
                if address is None:
                    threading.Event().wait(_HANG_S)
                    raise socket.gaierror(socket.EAI_AGAIN, "no answer")
                return plain(address, port, *args, **options)
        return plain(host, port, *args, **options)

    socket.getaddrinfo = getaddrinfo
