"""What a target is."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """One target: a figure, or its ratio to another one of the same run, and its bound.

    Without a bound the value is only reported: nobody asked for more or less of it.
    """

    what: str
    workload: str
    figure: str
    bound: float | None
    under: str = ""
    at_least: bool = True
    unit: str = "×"
    #: The commit that the target names, where it is one; with another base it is not judged.
    base: str = ""
