"""Whether the figures of a run meet the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.bench.figures import Figures, ratio
from tests.bench.target import Target
from tests.bench.targets import TARGETS


class Verdict(NamedTuple):
    """What came of a target; the value is None where it was not measured."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met."""
        at_least, bound = self.target.at_least, self.target.bound
        if self.value is None or bound is None:
            return None
        return self.value >= bound if at_least else self.value <= bound

    @property
    def asked(self) -> str:
        """Return the bound as it is shown."""
        if self.target.bound is None:
            return "reported"
        return f"{'≥' if self.target.at_least else '≤'} {self.target.bound:,g} {self.target.unit}"

    @property
    def got(self) -> str:
        """Return the value as it is shown."""
        if self.value is None:
            return "not measured"
        digits = ",.0f" if self.value >= 1000 else ".3g"
        return f"{self.value:{digits}} {self.target.unit}"

    @property
    def word(self) -> str:
        """Return met, MISSED or a dash."""
        return {True: "met", False: "MISSED", None: "–"}[self.met]


def judge(results: Mapping[str, Figures], bases: Mapping[str, str]) -> Iterator[Verdict]:
    """Compare each target with what was measured; *bases* has the other commit of each workload."""
    for target in TARGETS:
        figures = results.get(target.workload, Figures())
        is_asked = bases.get(target.workload, "").startswith(target.base)
        yield Verdict(target, _value(target, figures) if is_asked else None)


def _value(target: Target, figures: Figures) -> float | None:
    if target.figure not in figures or (target.under and target.under not in figures):
        return None
    if target.under:
        return ratio(figures[target.figure], figures[target.under])
    return figures[target.figure].median
