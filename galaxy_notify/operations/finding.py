"""What a check found: how grave it is, what it means for the guarantees, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: What the user may not ask for is unknown: neither right nor wrong.
Level = Literal["ok", "unknown", "warning", "error"]
#: What a finding puts at risk; availability is that accepting and publishing go on.
Guarantee = Literal["", "nothing lost", "nothing twice", "nothing early", "availability"]

LOST: Final = "nothing lost"
TWICE: Final = "nothing twice"
EARLY: Final = "nothing early"
AVAILABILITY: Final = "availability"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; *means* is what it does to the guarantees, *todo* what helps.

    *risk* is the guarantee that suffers; *node* the server, where there are several.
    """

    level: Level
    check: str
    what: str
    means: str = ""
    todo: str = ""
    risk: Guarantee = ""
    node: str = ""
