"""The statements: one file each, in ``sql/``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

SQL_DIR: Final = Path(__file__).resolve().parent / "sql"


@cache
def statement(file: str, **fragments: str) -> bytes:
    """Return a statement; its ``{named}`` places are filled with *fragments* of this package."""
    return text(file, **fragments).encode()


def text(file: str, **fragments: str) -> str:
    """Return the text of a statement, or of a part of one."""
    found = (SQL_DIR / f"{file}.sql").read_text(encoding="utf-8")
    for place, fragment in fragments.items():
        found = found.replace(f"{{{place}}}", fragment)
    return found
