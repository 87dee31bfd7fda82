"""``accept``: intents in as JSON lines, a receipt for each out, in order."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from galaxy_notify.cli.asking import Progress
from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.ending import Exit, complain, is_misconfigured, told_unavailable
from galaxy_notify.cli.intent_lines import Line, parse
from galaxy_notify.cli.line_input import batches, line_ranges, opened
from galaxy_notify.cli.output import echo, plural, sum_up
from galaxy_notify.errors import CallFailed, InvalidIntent, ServerRefused, Unavailable

if TYPE_CHECKING:
    from galaxy_notify.intake.receipts import Receipt

    Outcome: TypeAlias = "Receipt | _NotWritten | None"
    Accept: TypeAlias = Callable[[list[Any]], Sequence[Outcome]]


@click.command("accept")
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--check", is_flag=True, help="Only validate; nothing is sent to Redis.")
@json_option
@pass_application
def command(app: Application, file: str, check: bool, as_json: bool) -> int:
    """Accept notifications, one JSON object per line.

    For each line that is not blank a receipt is printed, as JSON, in order. When Redis goes away
    or refuses in the middle, standard error tells which lines are unknown and which were not
    written; it is safe to run the same file again where the intents have idempotency keys.

    Exit codes: 0 all accepted or duplicate, 4 some refused, 1 all refused or Redis away,
    2 the file cannot be read.
    """
    del as_json  # receipts are JSON lines anyhow
    with opened(file, "intents") as stream, _acceptor(app, check=check) as accept:
        run = _Run(accept)
        with Progress("lines read:", beside=False) as progress:
            for batch in batches(stream, file):
                run.take(batch)
                progress.advance(len(batch))
                if run.failure is not None:
                    return run.give_up(run.failure)
    sum_up(run.summary("valid" if check else "accepted"), run.exit_code)
    return run.exit_code


class _Run:
    """Accepts batch after batch, prints the receipts, and counts what became of the lines."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._by_status: Counter[str] = Counter()
        self._unknown: list[int] = []
        self._not_written: list[int] = []
        self.failure: CallFailed | None = None

    def take(self, batch: Sequence[Line]) -> None:
        """Accept the lines of a batch and print a receipt for each whose outcome is known."""
        receipts: list[str] = []
        for line, outcome in zip(batch, self._outcomes(batch), strict=True):
            if outcome is None:
                self._unknown.append(line.number)
            elif isinstance(outcome, _NotWritten):
                self._not_written.append(line.number)
            else:
                self._by_status[outcome.status] += 1
                receipts.append(json.dumps(outcome.as_json(line.number), separators=(",", ":")))
        if receipts:
            echo("\n".join(receipts))

    def _outcomes(self, batch: Sequence[Line]) -> list[Outcome]:
        from galaxy_notify.intake.receipts import refused

        values: list[Any] = []
        unread: dict[int, Receipt] = {}
        for place, line in enumerate(batch):
            try:
                values.append(parse(line))
            except InvalidIntent as error:
                unread[place] = refused(error)
        receipts = iter(self._receipts(values))
        places = range(len(batch))
        return [unread[place] if place in unread else next(receipts) for place in places]

    def _receipts(self, values: list[Any]) -> Sequence[Outcome]:
        try:
            return self._accept(values) if values else []
        except CallFailed as error:
            self.failure = error
            found = list(error.receipts or [None] * len(values))
            for place in error.not_written:
                found[place] = _NotWritten()
            return found

    @property
    def exit_code(self) -> int:
        """Return the exit code that the receipts mean."""
        refused = self._by_status["refused"]
        if not refused:
            return Exit.OK
        return Exit.FAILED if refused == self._by_status.total() else Exit.PARTLY

    def give_up(self, failure: CallFailed) -> int:
        """Tell which lines are unknown and which were not written; return the exit code."""
        told = [_cause(failure)]
        if self._unknown:
            told.append(f"unknown: {line_ranges(self._unknown)}")
        if self._not_written:
            told.append(f"not written: {line_ranges(self._not_written)}")
        told.append("later lines were not sent")
        if self._unknown:
            told.append("running it again is safe for lines with an idempotency_key")
        complain("; ".join(told))
        return Exit.CONFIG if is_misconfigured(failure) else Exit.FAILED

    def summary(self, done: str) -> str:
        """Say in one line what became of all lines."""
        words = {"accepted": done, "duplicate": "duplicate", "refused": "refused"}
        counted = [f"{self._by_status[word]:,} {shown}" for word, shown in words.items()]
        return f"{plural(self._by_status.total(), 'line')}: {', '.join(counted)}"


class _NotWritten:
    """Stands for the receipt of a line that Redis refused: surely nothing of it was written."""


def _cause(failure: CallFailed) -> str:
    """Say what Redis answered, and the right where one is missing."""
    from galaxy_notify.redis_client.faults import RedisFault

    if isinstance(failure.__cause__, RedisFault) and failure.__cause__.fault.server:
        return told_unavailable(failure)
    # The server answered for single lines: only the text says all that is known of it.
    away = isinstance(failure, Unavailable) and not isinstance(failure, ServerRefused)
    return f"redis is away: {failure}" if away else str(failure)


@contextmanager
def _acceptor(app: Application, *, check: bool) -> Iterator[Accept]:
    if check:
        yield _checker(app)
        return
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier:
        yield notifier.accept_many


def _checker(app: Application) -> Accept:
    """Return what judges intents as an accept would, by the settings and without Redis."""
    from galaxy_notify.intake.plan import plan
    from galaxy_notify.intake.receipts import Receipt, refused
    from galaxy_notify.model.intent import Intent
    from galaxy_notify.redis_state.deployment import Deployment

    deployment = Deployment.from_settings(app.settings)

    def judge(value: Any) -> Receipt:
        try:
            planned = plan(Intent.parse(value), deployment, time.time_ns() // 1_000_000, "")
        except InvalidIntent as error:
            return refused(error)
        named = planned.notification_id if planned.intent.idempotency_key else None
        return Receipt(named, "accepted", len(planned.routes), planned.part_count)

    return lambda values: [judge(value) for value in values]
