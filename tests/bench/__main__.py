"""``make bench``: measure everything, write the results, and end with the table of targets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import guards
from tests.bench.bench_run import BenchRun
from tests.bench.checkout import ROOT, BaseError, Checkout, checkout_of, default_base
from tests.bench.machine import machine
from tests.bench.registry import WORKLOADS
from tests.bench.report import Book, table
from tests.bench.runner import run
from tests.support.servers import servers_found

_RUNS = 5


def main() -> int:
    """Run what was asked for; 1 where a workload failed, or a guarded ratio has fallen."""
    options = _parser().parse_args()
    found = servers_found()
    binary = found[options.server] if options.server else next(reversed(found.values()))
    runs = options.runs or (1 if options.quick else _RUNS)
    try:
        base = _base(options.base)
    except BaseError as error:
        print(error, file=sys.stderr)
        return 2
    bench = BenchRun(binary, options.quick, runs, base)
    for name, value in machine(binary).items():
        print(f"{name}: {value}")
    print(f"the commit before: {base.name if base else 'none'}\nruns: {runs}\n", flush=True)
    if options.check:
        if base is None:
            print("no commit to compare with: name one as BASE", file=sys.stderr)
            return 2
        return guards.check(bench, base)
    return _bench(bench, options.only, options.out)


def _bench(bench: BenchRun, only: list[str] | None, out: Path | None) -> int:
    chosen = [w for w in WORKLOADS if w.name in (only or ()) or not only]
    if bench.quick and not only:
        chosen = [workload for workload in chosen if workload.in_quick]
    folder = out or ROOT / ("build/benchmarks" if bench.quick else "docs/benchmarks")
    book, failed = Book(folder, afresh=not only), []
    for result in run(chosen, bench):
        book.add(result)
        if result.about["error"]:
            failed.append(result.workload)
    print("\n".join(table(book.verdicts())))
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def _base(ref: str | None) -> Checkout | None:
    """Return the commit to compare with; None where none is named and there is no git."""
    found = ref or default_base()
    return checkout_of(found) if found else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--quick", action="store_true", help="less of everything, without peers")
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help=f"only this one; may be repeated: {', '.join(names)}",
    )
    parser.add_argument("--runs", type=int, help=f"how often ({_RUNS}; 1 with --quick)")
    parser.add_argument("--server", choices=[*servers_found()], help="which server")
    parser.add_argument(
        "--base",
        metavar="COMMIT",
        help="the commit that is measured in turns with this checkout: the last tag, or HEAD^",
    )
    parser.add_argument("--out", type=Path, help="where the results go")
    parser.add_argument("--check", action="store_true", help="only compare with the base")
    return parser


if __name__ == "__main__":
    sys.exit(main())
