"""Figures: what was measured, once a run, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figure:
    """One named figure, with a value for each run."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the middle of the runs."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the lowest and the highest run."""
        return min(self.values), max(self.values)


class Figures:
    """The figures of one workload, in the order in which they first came."""

    def __init__(self, figures: Iterable[Figure] = (), notes: Iterable[str] = ()) -> None:
        self._figures = {figure.name: figure for figure in figures}
        self.notes: list[str] = [*notes]

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def __contains__(self, name: str) -> bool:
        return name in self._figures

    def __getitem__(self, name: str) -> Figure:
        return self._figures[name]

    def add(self, name: str, value: float, unit: str) -> None:
        """Add the value of one more run."""
        self._figures.setdefault(name, Figure(name, unit)).values.append(value)

    def note(self, text: str) -> None:
        """Say something that a reader of the figures must know; the same is said once."""
        if text not in self.notes:
            self.notes.append(text)

    def as_json(self) -> dict[str, Any]:
        """Return what the results hold of these figures."""
        figures = {
            figure.name: {"unit": figure.unit, "values": [_rounded(v) for v in figure.values]}
            for figure in self
        }
        return {"figures": figures, "notes": self.notes}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Figures:
        """Read what the results hold."""
        found = stored.get("figures", {})
        figures = [Figure(name, entry["unit"], entry["values"]) for name, entry in found.items()]
        return cls(figures, stored.get("notes", ()))


def ratio(over: Figure, under: Figure) -> float:
    """Return the median ratio, run by run where both were measured in the same runs."""
    if len(over.values) == len(under.values):
        return statistics.median(a / b for a, b in zip(over.values, under.values, strict=True))
    return over.median / under.median


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
