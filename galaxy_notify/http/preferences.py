"""Preferences of users: read and change them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Request, Response

from galaxy_notify.http.body import json_body
from galaxy_notify.http.dependencies import ProducerOrOperator, ProducerOrReader, state_of
from galaxy_notify.http.openapi import BODY, Responses, body_of, responses
from galaxy_notify.http.request_schemas import PREFERENCES
from galaxy_notify.http.responses import answer, redis_faults
from galaxy_notify.http.schemas import ChangedPreferences, StoredPreferences
from galaxy_notify.intake.rules.preferences import AsyncPreferences, deleted, resumed, silenced
from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.web.preferences import (
    ANY,
    IF_MATCH,
    LIMITS,
    Shown,
    change,
    expected_digests,
    preference_problems,
    put,
    shown,
)

router = APIRouter(tags=["preferences"])

User = Annotated[str, Path(description="Recipient, as in intents", pattern=f"^{RECIPIENT}$")]
IfMatch = Annotated[
    str,
    Header(
        description="Change only what has one of these entity tags: those of earlier answers",
        # Only said here: what is wrong with it is answered in the words of both listeners.
        json_schema_extra={"pattern": IF_MATCH},
    ),
]
_ETAG: Final[dict[str, Any]] = {
    "ETag": {
        "description": "Of the preferences; it changes with each of their changes",
        "schema": {"type": "string"},
    }
}
_PATH = "/v1/users/{user}/preferences"


def _tagged(model: type, *problems: int) -> Responses:
    """Return the responses of an operation whose success has an entity tag."""
    found = responses(*problems, ok={200: model})
    found[200]["headers"] = _ETAG
    return found


_CHANGED = _tagged(ChangedPreferences, 400, 409, 412, 422)


@router.get(_PATH, responses=_tagged(StoredPreferences, 422))
async def get_preferences(request: Request, _: ProducerOrReader, user: User) -> Response:
    """Tell all that a user wants; one who never said so has the defaults."""
    with _problems():
        return _answer(await shown(_preferences(request), user))


@router.put(
    _PATH,
    responses=_tagged(ChangedPreferences, *BODY, 409, 412),
    openapi_extra=body_of(PREFERENCES),
)
async def put_preferences(
    request: Request, _: ProducerOrOperator, user: User, if_match: IfMatch = ANY
) -> Response:
    """Put these preferences in place of all that the user had."""
    expected = expected_digests(if_match)
    body = await json_body(request, LIMITS)
    with _problems():
        return _answer(await put(_preferences(request), user, body, expected))


@router.delete(_PATH, responses=_CHANGED)
async def delete_preferences(
    request: Request, _: ProducerOrOperator, user: User, if_match: IfMatch = ANY
) -> Response:
    """Delete all preferences of a user."""
    return await _changed(request, deleted(user), if_match)


@router.post(f"{_PATH}/silence", responses=_CHANGED)
async def silence_user(
    request: Request, _: ProducerOrOperator, user: User, if_match: IfMatch = ANY
) -> Response:
    """Tell a user nothing but what is mandatory; what was set before is kept."""
    return await _changed(request, silenced(user), if_match)


@router.post(f"{_PATH}/resume", responses=_CHANGED)
async def resume_user(
    request: Request, _: ProducerOrOperator, user: User, if_match: IfMatch = ANY
) -> Response:
    """End silence; the user's other preferences apply again."""
    return await _changed(request, resumed(user), if_match)


def _preferences(request: Request) -> AsyncPreferences:
    return state_of(request).notifier.preferences


async def _changed(request: Request, wanted: UserChange, if_match: str) -> Response:
    """Make a change and return what holds now."""
    expected = expected_digests(if_match)
    with _problems():
        return _answer(await change(_preferences(request), wanted, expected))


def _answer(found: Shown) -> Response:
    return answer(found.document, headers=found.headers)


@contextmanager
def _problems() -> Iterator[None]:
    with redis_faults(), preference_problems():
        yield
