"""Preferences as JSON lines: many users in, one answer for each, and all of them out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from galaxy_notify.cli.asking import Progress
from galaxy_notify.cli.ending import Exit, complain, is_misconfigured, told_unavailable
from galaxy_notify.cli.intent_lines import Line, parse
from galaxy_notify.cli.line_input import batches, line_ranges
from galaxy_notify.cli.output import echo, note, plural, sum_up
from galaxy_notify.errors import CallFailed, Invalid

if TYPE_CHECKING:
    from galaxy_notify.intake.rules.preferences import Preferences
    from galaxy_notify.redis_state.calls import Answer
    from galaxy_notify.redis_state.place import Place
    from galaxy_notify.redis_state.preferences import UserChange

_STORED = {"changed": "stored", "same": "unchanged"}


def import_all(stream: BinaryIO, file: str, preferences: Preferences) -> int:
    """Store line by line, print an answer for each, and return the exit code."""
    run = _Import(preferences)
    with Progress("lines read:", beside=False) as progress:
        for batch in batches(stream, file):
            try:
                run.take(batch)
            except CallFailed as error:
                return run.give_up(error, [line.number for line in batch])
            progress.advance(len(batch))
            if run.failure:
                return run.give_up(run.failure, run.unknown)
    sum_up(run.summary(), run.exit_code)
    return run.exit_code


class _Read(NamedTuple):
    """What a line says: a change, or what is wrong with it."""

    user: str | None
    change: UserChange | None = None
    error: Invalid | None = None


class _Import:
    """Stores batch after batch and counts what became of the lines."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._by_status: Counter[str] = Counter()
        self.unknown: list[int] = []
        self.failure: CallFailed | None = None

    def take(self, batch: Sequence[Line]) -> None:
        """Store the lines of a batch and print an answer for each. Raises `CallFailed`."""
        known = self._preferences.channels()
        lines = [_read(line, known) for line in batch]
        changes = [read.change for read in lines if read.change]
        answers = iter(self._preferences.change(changes) if changes else ())
        told: list[str] = []
        for line, read in zip(batch, lines, strict=True):
            found = self._answered(line, read, next(answers) if read.change else None)
            if found:
                self._by_status[found["status"]] += 1
                told.append(json.dumps(found, separators=(",", ":")))
        if told:
            echo("\n".join(told))

    def _answered(self, line: Line, read: _Read, answer: Answer | None) -> dict[str, Any] | None:
        """Return what to tell of a line; None where nothing is known of it."""
        from galaxy_notify.intake.rules.preferences import check_stored

        if answer is None:
            return _told(line, read.user, "refused", read.error)
        try:
            check_stored(answer)
        except Invalid as error:
            return _told(line, read.user, "refused", error)
        except CallFailed as error:
            self.unknown.append(line.number)
            self.failure = error
            return None
        return _told(line, read.user, _STORED[answer.word])

    @property
    def exit_code(self) -> int:
        """Return the exit code that the answers mean."""
        refused = self._by_status["refused"]
        if not refused:
            return Exit.OK
        return Exit.FAILED if refused == self._by_status.total() else Exit.PARTLY

    def give_up(self, failure: CallFailed, unknown: Sequence[int]) -> int:
        """Tell which lines are unknown, and return the exit code."""
        complain(
            f"{told_unavailable(failure)}; unknown: {line_ranges(unknown)}; later lines were not"
            " sent; running it again is safe"
        )
        return Exit.CONFIG if is_misconfigured(failure) else Exit.FAILED

    def summary(self) -> str:
        """Say in one line what became of all lines."""
        words = (*_STORED.values(), "refused")
        counted = ", ".join(f"{self._by_status[word]:,} {word}" for word in words)
        return f"{plural(self._by_status.total(), 'line')}: {counted}"


def export_all(place: Place) -> int:
    """Print all users, shard by shard; return the exit code."""
    code = Exit.OK
    for raw_user, preferences in _everybody(place):
        user = _name(raw_user)
        left_out = list(preferences.unreadable)
        if user is None:
            left_out = ["(the name)"]
        elif preferences.to_fields():
            document = {"user": user, "preferences": preferences.as_json()}
            echo(json.dumps(document, separators=(",", ":")))
        if left_out:
            shown = user or repr(raw_user)[2:-1]
            note(f"{shown[:200]}: left out, as it cannot be read: {', '.join(left_out)}")
            code = Exit.PARTLY
    return code


def _everybody(place: Place) -> Iterator[tuple[bytes, Any]]:
    from galaxy_notify.intake.rules.preferring import page_flow
    from galaxy_notify.redis_client.flows import run_flow_sync

    for keys in place.all_keys:
        cursor = b"0"
        while True:
            page = run_flow_sync(place.client, page_flow(keys, cursor))
            yield from page.users
            cursor = page.cursor
            if cursor == b"0":
                break


def _name(raw: bytes) -> str | None:
    from galaxy_notify.errors import InvalidPreference
    from galaxy_notify.model.preference_input import check_user

    try:
        return check_user(raw.decode("utf-8", "replace"))
    except InvalidPreference:
        return None


def _read(line: Line, known: Sequence[str]) -> _Read:
    from galaxy_notify.intake.rules.preferences import replaced
    from galaxy_notify.model.preference_input import check_user, read_document

    user = None
    try:
        document = parse(line)
        if isinstance(document, dict) and "user" in document:
            user = check_user(document["user"])
        return _Read(user, replaced(*read_document(document, known)))
    except Invalid as error:
        return _Read(user, error=error)


def _told(
    line: Line, user: str | None, status: str, error: Invalid | None = None
) -> dict[str, Any]:
    refusal = error and {"code": error.code, "field": error.field, "message": error.message}
    return {"line": line.number, "user": user, "status": status, "error": refusal}
