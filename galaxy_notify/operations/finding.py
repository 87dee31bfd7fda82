"""What a check found: how grave it is, what it means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; *means* is what it does to the guarantees, *todo* what helps."""

    level: Level
    check: str
    what: str
    means: str = ""
    todo: str = ""
