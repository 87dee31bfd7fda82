"""The name of a process in Redis and in logs."""

from __future__ import annotations

import os
import re
import secrets
import socket


def process_id() -> str:
    """Return a unique name: host, process number and random digits."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(2)}"
