"""A rule between settings that is broken."""

from __future__ import annotations

from typing import NamedTuple


class BrokenRule(NamedTuple):
    """A broken rule: the settings that break it together, the one to blame first."""

    fields: tuple[str, ...]
    message: str
