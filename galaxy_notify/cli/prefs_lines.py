"""Preferences as JSON lines: many users in, one answer for each, and all of them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from galaxy_notify.cli.exits import Exit, unavailable_message
from galaxy_notify.cli.jsonl import Answers, Line, Unanswered, answer_lines, parse
from galaxy_notify.cli.output import echo_json, note
from galaxy_notify.errors import CallFailed, Invalid, InvalidPreference

if TYPE_CHECKING:
    from galaxy_notify.intake.rules.preferences import Preferences
    from galaxy_notify.redis_state.calls import Answer
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.redis_state.preferences import UserChange

_STORED = {"changed": "stored", "same": "unchanged"}


def import_all(stream: BinaryIO, file: str, preferences: Preferences) -> int:
    """Store line by line, print an answer for each, and return the exit code."""
    return answer_lines(
        stream,
        file,
        partial(_answer, preferences),
        words={word: word for word in _STORED.values()},
        repeat="running it again is safe",
    )


class _Read(NamedTuple):
    """What a line says: a change, or what is wrong with it."""

    user: str | None
    change: UserChange | None = None
    error: Invalid | None = None


def _answer(preferences: Preferences, batch: Sequence[Line]) -> Answers:
    """Store the lines of a batch."""
    try:
        known = preferences.channels()
        lines = [_read(line, known) for line in batch]
        changes = [read.change for read in lines if read.change]
        found = iter(preferences.change(changes) if changes else ())
    except CallFailed as error:
        return Answers([Unanswered.UNKNOWN] * len(batch), error, unavailable_message(error))
    documents: list[dict[str, Any] | Unanswered] = []
    failure = None
    for line, read in zip(batch, lines, strict=True):
        try:
            documents.append(_document(line, read, next(found) if read.change else None))
        except CallFailed as error:
            documents.append(Unanswered.UNKNOWN)
            failure = error
    return Answers(documents, failure, unavailable_message(failure) if failure else "")


def _document(line: Line, read: _Read, answer: Answer | None) -> dict[str, Any]:
    """Return the answer to a line; raise `CallFailed` where nothing is known of it."""
    from galaxy_notify.intake.rules.preferences import check_stored

    status, error = "refused", read.error
    if answer is not None:
        try:
            check_stored(answer)
            status = _STORED[answer.word]
        except Invalid as invalid:
            error = invalid
    refusal = error and {"code": error.code, "field": error.field, "message": error.message}
    return {"line": line.number, "user": read.user, "status": status, "error": refusal}


def export_all(deployment: Deployment) -> int:
    """Print all users, shard by shard; return the exit code."""
    from galaxy_notify.model.preference_input import check_user

    code = Exit.OK
    for raw_user, preferences in _all_users(deployment):
        user = None
        with suppress(InvalidPreference):
            user = check_user(raw_user.decode("utf-8", "replace"))
        left_out = list(preferences.unreadable)
        if user is None:
            left_out = ["(the name)"]
        elif preferences.to_fields():
            echo_json({"user": user, "preferences": preferences.as_json()})
        if left_out:
            shown = user or repr(raw_user)[2:-1]
            note(f"{shown[:200]}: unreadable, left out: {', '.join(left_out)}")
            code = Exit.PARTLY
    return code


def _all_users(deployment: Deployment) -> Iterator[tuple[bytes, Any]]:
    from galaxy_notify.redis_client.flows import run_flow_sync
    from galaxy_notify.redis_state.preferences import page_flow

    for keys in deployment.all_keys:
        cursor = b"0"
        while True:
            page = run_flow_sync(deployment.client, page_flow(keys, cursor))
            yield from page.users
            cursor = page.cursor
            if cursor == b"0":
                break


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
