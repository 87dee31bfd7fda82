"""The results as files: everything as JSON, a page in Markdown, and a plot for each workload."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.registry import WORKLOADS, Workload
from tests.bench.runner import Result
from tests.bench.svg import bars, shown
from tests.bench.verdicts import Verdict, judge

_HEAD = """\
# Benchmarks

Made by `make bench`; do not edit. Real servers over TCP and worker processes with the default
settings, each measured from outside, with a different text for each notification. All ratios
compare figures of the same run, measured in turns. A value is the median of the runs; the lowest
and the highest are beside it. *The commit before* is an earlier version of this package, in turns
with this one. How to run it, and which figures carry to other machines:
[how to measure](../performance.md#how-to-measure).
"""


class Book:
    """All results in a folder; those of an earlier run stay until the workload runs again."""

    def __init__(self, folder: Path, *, afresh: bool) -> None:
        self._folder = folder
        self._file = folder / "results.json"
        self.results: dict[str, Result] = {}
        if self._file.exists() and not afresh:
            stored = json.loads(self._file.read_text())["workloads"]
            self.results = {name: Result.from_json(name, entry) for name, entry in stored.items()}

    def add(self, result: Result) -> None:
        """Take a result in and write everything anew: a run that is cut short leaves its part."""
        self.results[result.workload] = result
        self._folder.mkdir(parents=True, exist_ok=True)
        workloads = {w.name: self.results[w.name].as_json() for w in self._workloads()}
        targets = [_target_json(verdict) for verdict in self.verdicts()]
        document = {"targets": targets, "workloads": workloads}
        self._file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        for workload in self._workloads():
            if plotted := self._plotted(workload):
                (self._folder / f"{workload.name}.svg").write_text(bars(workload.title, plotted))
        (self._folder / "README.md").write_text("\n".join(self._page()))

    def verdicts(self) -> list[Verdict]:
        """Judge what there is."""
        figures = {name: result.figures for name, result in self.results.items()}
        bases = {name: result.about.get("base", "") for name, result in self.results.items()}
        return [*judge(figures, bases)]

    def _workloads(self) -> list[Workload]:
        return [workload for workload in WORKLOADS if workload.name in self.results]

    def _plotted(self, workload: Workload) -> list[Figure]:
        figures = self.results[workload.name].figures
        parts = (": server", ": worker", ": workers")
        return [f for f in figures if f.unit == workload.unit and not f.name.endswith(parts)]

    def _page(self) -> Iterator[str]:
        yield _HEAD
        yield from self._machines()
        yield "\n## Target by target\n"
        yield from _rows(
            ("target", "asked", "measured", ""),
            ((v.target.what, v.asked, v.got, v.word) for v in self.verdicts()),
        )
        for workload in self._workloads():
            yield from self._section(workload)

    def _machines(self) -> Iterator[str]:
        machines = [result.about["machine"] for result in self.results.values()]
        for name in machines[0]:
            values = sorted({told[name] for told in machines})
            yield f"- {name}: {'; '.join(values)}"
        bases = sorted({base for r in self.results.values() if (base := r.about.get("base"))})
        yield f"- the commit before: {'; '.join(bases) or 'not measured'}"

    def _section(self, workload: Workload) -> Iterator[str]:
        result = self.results[workload.name]
        yield f"\n## {workload.title}\n\n{workload.text()}\n"
        if self._plotted(workload):
            yield f"![{workload.title}]({workload.name}.svg)\n"
        yield from _rows(
            ("figure", "median", "lowest", "highest", "unit"),
            ((f.name, shown(f.median), *map(shown, f.spread), f.unit) for f in result.figures),
        )
        yield ""
        yield from (f"- {note}" for note in result.figures.notes)
        about = result.about
        runs = f"{about['runs']} run{'s' if about['runs'] > 1 else ''}"
        yield f"- {runs}{', quick' if about['quick'] else ''}, {about['seconds']} s, {about['at']}"
        if about["error"]:
            yield f"- **failed**: {about['error']}"


def table(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Lay the targets out for a terminal."""
    for verdict in verdicts:
        asked, got = f"{verdict.asked:>26}", f"{verdict.got:>26}"
        yield f"{verdict.target.what:<58}{asked}{got}  {verdict.word}"


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = [*head]
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _target_json(verdict: Verdict) -> dict[str, object]:
    return {
        "what": verdict.target.what,
        "asked": verdict.asked,
        "value": verdict.value and float(f"{verdict.value:.4g}"),
        "unit": verdict.target.unit,
        "met": verdict.met,
    }
