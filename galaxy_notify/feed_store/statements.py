"""The statements: one file each, in ``sql/``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

SQL_DIR: Final = Path(__file__).resolve().parent / "sql"


@cache
def statement(file: str, **fragments: str) -> bytes:
    """Return a statement; its ``{named}`` places are filled with *fragments* of this package."""
    text = (SQL_DIR / f"{file}.sql").read_text(encoding="utf-8")
    for place, fragment in fragments.items():
        text = text.replace(f"{{{place}}}", fragment)
    return text.encode()
