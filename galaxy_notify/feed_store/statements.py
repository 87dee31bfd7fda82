"""The statements: one file each, in ``sql/``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from galaxy_notify.model.json_data import is_carried

SQL_DIR: Final = Path(__file__).resolve().parent / "sql"


@cache
def statement(file: str, **fragments: str) -> bytes:
    """Return a statement; its ``{named}`` places are filled with *fragments* of this package."""
    return text(file, **fragments).encode()


def is_storable(name: str) -> bool:
    """Return whether Postgres takes a text at all; what it does not take names nothing there."""
    return "\0" not in name and is_carried(name)


def text(file: str, **fragments: str) -> str:
    """Return the text of a statement, or of a part of one."""
    found = (SQL_DIR / f"{file}.sql").read_text(encoding="utf-8")
    for place, fragment in fragments.items():
        found = found.replace(f"{{{place}}}", fragment)
    return found
