"""``accept``: intents in as JSON lines, a receipt for each out, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from galaxy_notify.cli.context import Application, only_json_option, pass_application
from galaxy_notify.cli.exits import unavailable_message
from galaxy_notify.cli.jsonl import Answers, Line, Unanswered, answer_lines, opened, parse
from galaxy_notify.errors import CallFailed, InvalidIntent, ServerRefused, Unavailable

if TYPE_CHECKING:
    from galaxy_notify.intake.receipts import Receipt

    Outcome: TypeAlias = Receipt | Unanswered
    Accept: TypeAlias = Callable[[list[Any]], Sequence[Receipt]]


@click.command("accept")
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--check", is_flag=True, help="Validate only; send nothing to Redis.")
@only_json_option
@pass_application
def command(app: Application, file: str, check: bool) -> int:
    """Accept notifications, one JSON object per line.

    Prints one JSON receipt per non-blank line, in order. If Redis fails in the middle, standard
    error lists the lines with an unknown outcome and the lines that were not written. Running the
    same file again is safe for intents with idempotency keys.

    Exit codes: 0 all accepted or duplicate, 4 some refused, 1 all refused or Redis away,
    2 file unreadable.
    """
    with opened(file, "intents") as stream, _acceptor(app, check=check) as accept:
        return answer_lines(
            stream,
            file,
            partial(_answer, accept),
            words={"accepted": "valid" if check else "accepted", "duplicate": "duplicate"},
            repeat="running it again is safe for lines with an idempotency_key",
        )


def _answer(accept: Accept, batch: Sequence[Line]) -> Answers:
    """Accept the lines of a batch; those that are no JSON are refused without asking Redis."""
    from galaxy_notify.intake.receipts import refused

    values: list[Any] = []
    unread: dict[int, Receipt] = {}
    for place, line in enumerate(batch):
        try:
            values.append(parse(line))
        except InvalidIntent as error:
            unread[place] = refused(error)
    found, failure = _accepted(accept, values)
    rest = iter(found)
    outcomes = [unread[place] if place in unread else next(rest) for place in range(len(batch))]
    documents = [
        outcome if isinstance(outcome, Unanswered) else outcome.as_json(line.number)
        for line, outcome in zip(batch, outcomes, strict=True)
    ]
    return Answers(documents, failure, _cause(failure) if failure else "")


def _accepted(accept: Accept, values: list[Any]) -> tuple[Sequence[Outcome], CallFailed | None]:
    try:
        return (accept(values) if values else ()), None
    except CallFailed as error:
        known = error.receipts or [None] * len(values)
        found = [Unanswered.UNKNOWN if receipt is None else receipt for receipt in known]
        for place in error.not_written:
            found[place] = Unanswered.NOT_WRITTEN
        return found, error


def _cause(failure: CallFailed) -> str:
    """Return what Redis answered, and the right if one is missing."""
    from galaxy_notify.redis_client.faults import RedisFault

    if isinstance(failure.__cause__, RedisFault) and failure.__cause__.fault.server:
        return unavailable_message(failure)
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
    from galaxy_notify.redis_state.shared_settings import SharedSettings

    shared = SharedSettings.from_settings(app.settings)

    def judge(value: Any) -> Receipt:
        try:
            planned = plan(Intent.parse(value), shared, time.time_ns() // 1_000_000, "")
        except InvalidIntent as error:
            return refused(error)
        named = planned.notification_id if planned.intent.idempotency_key else None
        return Receipt(named, "accepted", len(planned.routes), planned.part_count)

    return lambda values: [judge(value) for value in values]
