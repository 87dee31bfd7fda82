"""Contacts as JSON lines: many users in, one answer for each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from galaxy_notify.cli.exits import unavailable_message
from galaxy_notify.cli.jsonl import Answers, Line, Unanswered, answer_lines, parse
from galaxy_notify.errors import CallFailed, Invalid, InvalidContact

if TYPE_CHECKING:
    from galaxy_notify.contacts.book import ContactBook
    from galaxy_notify.redis_client.flows import Flow
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.settings import ChannelSettings


class Importer(NamedTuple):
    """Where the lines are stored; *channel* is that of contacts that name none."""

    deployment: Deployment
    book: ContactBook
    channels: Mapping[str, ChannelSettings]
    channel: str


def import_all(stream: BinaryIO, file: str, importer: Importer) -> int:
    """Store line by line, print an answer for each, and return the exit code."""
    words = {"stored": "stored", "unchanged": "unchanged"}
    answer = partial(_answer, importer)
    return answer_lines(stream, file, answer, words=words, repeat="running it again is safe")


def _answer(importer: Importer, batch: Sequence[Line]) -> Answers:
    """Store the lines of a batch; the first failed call ends it."""
    from galaxy_notify.redis_client.failed_calls import failed_call
    from galaxy_notify.redis_client.faults import RedisFault

    documents: list[dict[str, Any] | Unanswered] = []
    for line in batch:
        try:
            documents.append(_stored(importer, line))
        except (CallFailed, RedisFault) as error:
            failure = failed_call(error) if isinstance(error, RedisFault) else error
            left = len(batch) - len(documents) - 1
            documents += [Unanswered.UNKNOWN, *[Unanswered.NOT_WRITTEN] * left]
            return Answers(documents, failure, unavailable_message(error))
    return Answers(documents)


def _stored(importer: Importer, line: Line) -> dict[str, Any]:
    """Store a line and return its answer."""
    from galaxy_notify.model.preference_input import check_user
    from galaxy_notify.redis_client.flows import run_flow_sync

    user, status, refusal = None, "refused", None
    try:
        document = parse(line)
        if not isinstance(document, dict):
            raise InvalidContact("", "must be an object")
        user = check_user(document.pop("user", None))
        changed = run_flow_sync(importer.deployment.client, _flow(importer, user, document))
        status = "stored" if changed else "unchanged"
    except Invalid as error:
        refusal = {"code": error.code, "field": error.field, "message": error.message}
    return {"line": line.number, "user": user, "status": status, "error": refusal}


def _flow(importer: Importer, user: str, document: dict[str, Any]) -> Flow[bool]:
    from galaxy_notify.contacts.contact_input import read_contact, read_contacts

    key_space, channels = importer.deployment.key_space, importer.channels
    if set(document) == {"contacts"}:
        wanted = read_contacts(document["contacts"], channels, importer.channel)
        return importer.book.replace(key_space, user, wanted)
    one = read_contact(document, channels, channel=importer.channel)
    return importer.book.put(key_space, user, [one])
