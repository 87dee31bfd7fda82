"""The preferences of a user over HTTP: each listener reads and changes them in this way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from galaxy_notify.errors import InvalidPreference
from galaxy_notify.intake.rules.preferences import is_changed, replaced
from galaxy_notify.model.json_text import JsonLimits
from galaxy_notify.model.preference import MOST_CHANNELS
from galaxy_notify.model.preference_input import read_document
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.redis_state.words import Word
from galaxy_notify.web.problems import Problem, fault

#: The most that one user's preferences can hold: all fields, each with all channels.
LIMITS: Final = JsonLimits(4 * MOST_FIELDS, MOST_FIELDS * (MOST_CHANNELS + 4))
_MOST_TAGS: Final = 16
_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_SPACE: Final = r"[ \t]*"
#: The value of If-Match that matches always, as its absence does.
ANY: Final = "*"
#: The values of If-Match that are valid, for the document of an API.
IF_MATCH: Final = (
    rf"^{_SPACE}(?:\*|{_TAG}(?:{_SPACE},{_SPACE}{_TAG}){{0,{_MOST_TAGS - 1}}}){_SPACE}$"
)
_IF_MATCH: Final = re.compile(IF_MATCH)
_OURS: Final = re.compile(r'(?<!W/)"([0-9a-f]{40})"')
#: What no preferences have.
_NO_DIGEST: Final = "-"


class PreferenceStore(Protocol):
    """Where preferences are; its methods raise what those of `AsyncPreferences` raise."""

    async def get(self, user: str) -> UserPreferences: ...
    async def change(self, changes: Sequence[UserChange]) -> list[Answer]: ...
    async def channels(self) -> Collection[str]: ...


class Shown(NamedTuple):
    """The preferences of a user as an answer: a JSON object, and the headers beside it."""

    document: Mapping[str, object]
    headers: Mapping[str, str]


async def shown(store: PreferenceStore, user: str) -> Shown:
    """Return all that a user has chosen; one who has chosen nothing has the defaults."""
    found = await store.get(user)
    unreadable = list(found.unreadable)
    document = {"user": user, "preferences": found.as_json(), "unreadable": unreadable}
    return Shown(document, _tagged(found))


async def put(
    store: PreferenceStore, user: str, body: object, expected: Sequence[str] = ()
) -> Shown:
    """Replace all preferences of a user by those in a body; see `change`."""
    wanted = read_document({"user": user, "preferences": body}, await store.channels())[1]
    return await change(store, replaced(user, wanted), expected)


async def change(store: PreferenceStore, wanted: UserChange, expected: Sequence[str] = ()) -> Shown:
    """Make a change and return what holds now, and whether it was changed.

    Raises a `Problem` (412) if *expected* names digests, the preferences have none of them, and
    the change is not made already.
    """
    answers = await store.change([wanted._replace(expected=expected)])
    if answers[0].word == Word.STALE:
        raise _changed_meanwhile(await store.get(wanted.user))
    changed = is_changed(answers)
    now = await shown(store, wanted.user)
    return now._replace(document={**now.document, "changed": changed})


def expected_digests(if_match: str) -> Sequence[str]:
    """Return the digests that the header If-Match names; empty where anything matches.

    Raises a `Problem` (400) for a header that is invalid.
    """
    if if_match.strip(" \t") == ANY:
        return ()
    if not _IF_MATCH.fullmatch(if_match):
        message = f'must be *, or up to {_MOST_TAGS} entity tags such as "1a2b"'
        raise Problem("bad-request", f"If-Match: {message}", [fault("If-Match", message)])
    # A weak tag never matches, and neither does one that was not made here.
    return tuple(_OURS.findall(if_match)) or (_NO_DIGEST,)


@contextmanager
def preference_problems() -> Iterator[None]:
    """Turn what is wrong with preferences into problems, which name the field in the body."""
    try:
        yield
    except InvalidPreference as error:
        # The body is what stands in an import's line under this name.
        field = error.field.removeprefix("preferences").lstrip(".")
        code = "conflict" if error.code == "conflict" else "invalid"
        detail = f"{field}: {error.message}" if field else error.message
        raise Problem(code, detail, [fault(field, error.message, code)]) from None


def _tagged(found: UserPreferences) -> Mapping[str, str]:
    return {"ETag": f'"{found.digest}"'} if found.digest else {}


def _changed_meanwhile(now: UserPreferences) -> Problem:
    message = "the preferences were changed since they were read"
    headers = _tagged(now)
    errors = [fault("If-Match", message, "stale")]
    more = {"etag": headers.get("ETag")}
    return Problem("precondition-failed", f"If-Match: {message}", errors, headers, more)
