"""Preferences of users: read and change them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from galaxy_notify.errors import InvalidPreference
from galaxy_notify.http.body import json_body
from galaxy_notify.http.dependencies import ProducerOrOperator, ProducerOrReader, state_of
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.request_schemas import PREFERENCES
from galaxy_notify.http.responses import answer, redis_faults, refused
from galaxy_notify.http.schemas import ChangedPreferences, StoredPreferences
from galaxy_notify.intake.rules.preferences import (
    AsyncPreferences,
    deleted,
    is_changed,
    replaced,
    resumed,
    silenced,
)
from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.model.json_text import JsonLimits
from galaxy_notify.model.preference import MOST_CHANNELS
from galaxy_notify.model.preference_input import read_document
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_state.preferences import UserChange

router = APIRouter(tags=["preferences"])

User = Annotated[str, Path(description="Recipient, as in intents", pattern=f"^{RECIPIENT}$")]
#: The most that one user's preferences can hold: all fields, each with all channels.
_LIMITS = JsonLimits(4 * MOST_FIELDS, MOST_FIELDS * (MOST_CHANNELS + 4))
_PATH = "/v1/users/{user}/preferences"
_CHANGED = responses(409, 422, ok={200: ChangedPreferences})


@router.get(_PATH, responses=responses(422, ok={200: StoredPreferences}))
async def get_preferences(request: Request, _: ProducerOrReader, user: User) -> Response:
    """Tell all that a user wants; one who never said so has the defaults."""
    with _preference_problems():
        return answer(_preferences_json(user, await _preferences(request).get(user)))


@router.put(
    _PATH,
    responses=responses(*BODY, 409, ok={200: ChangedPreferences}),
    openapi_extra=body_of(PREFERENCES),
)
async def put_preferences(request: Request, _: ProducerOrOperator, user: User) -> Response:
    """Put these preferences in place of all that the user had."""
    body = await json_body(request, _LIMITS)
    with _preference_problems():
        known = await _preferences(request).channels()
        wanted = read_document({"user": user, "preferences": body}, known)[1]
    return await _changed(request, replaced(user, wanted))


@router.delete(_PATH, responses=_CHANGED)
async def delete_preferences(request: Request, _: ProducerOrOperator, user: User) -> Response:
    """Delete all preferences of a user."""
    return await _changed(request, deleted(user))


@router.post(f"{_PATH}/silence", responses=_CHANGED)
async def silence_user(request: Request, _: ProducerOrOperator, user: User) -> Response:
    """Tell a user nothing but what is mandatory; what was set before is kept."""
    return await _changed(request, silenced(user))


@router.post(f"{_PATH}/resume", responses=_CHANGED)
async def resume_user(request: Request, _: ProducerOrOperator, user: User) -> Response:
    """End silence; the user's other preferences apply again."""
    return await _changed(request, resumed(user))


def _preferences(request: Request) -> AsyncPreferences:
    return state_of(request).notifier.preferences


async def _changed(request: Request, change: UserChange) -> Response:
    """Make a change and return what holds now."""
    preferences = _preferences(request)
    with _preference_problems():
        changed = is_changed(await preferences.change([change]))
        now = _preferences_json(change.user, await preferences.get(change.user))
    return answer(now | {"changed": changed})


def _preferences_json(user: str, found: UserPreferences) -> dict[str, object]:
    unreadable = list(found.unreadable)
    return {"user": user, "preferences": found.as_json(), "unreadable": unreadable}


@contextmanager
def _preference_problems() -> Iterator[None]:
    with redis_faults():
        try:
            yield
        except InvalidPreference as error:
            # The body is what stands in an import's line under this name.
            field = error.field.removeprefix("preferences").lstrip(".")
            code = "conflict" if error.code == "conflict" else "invalid"
            raise refused(InvalidPreference(field, error.message, code)) from None
