"""Dead letters: look at them, and send them on their way again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from galaxy_notify.http.auth import Client
from galaxy_notify.http.body import json_body
from galaxy_notify.http.dependencies import ANY_CHANNEL, Operator, Reader, state_of
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.pools import Deadline
from galaxy_notify.http.queries import DeadQuery, Replay, moment
from galaxy_notify.http.responses import answer, answer_of, not_valid, refused_values, unavailable
from galaxy_notify.http.schemas import DeadLetters, Replayed
from galaxy_notify.model.ids import parse_target
from galaxy_notify.operations import dead_letters
from galaxy_notify.operations.dead_letter import DeadFilter, DeadLetterView
from galaxy_notify.operations.dead_moves import Run
from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.web.bodies import SHORT, SHORT_BYTES
from galaxy_notify.web.problems import packed

router = APIRouter(tags=["dead letters"])

#: Less than the longest wait of an answer: it then has what was found or moved so far.
_SEARCH_S: Final = 5.0


@router.get("/v1/dead-letters", responses=responses(422, ok={200: DeadLetters}))
async def list_dead_letters(
    request: Request, client: Reader, query: Annotated[DeadQuery, Query()]
) -> Response:
    """List dead letters, the oldest first."""

    def read(deployment: Deployment) -> bytes:
        letters = dead_letters.DeadLetterReader(deployment)
        found, complete = search(letters, _filter(query, letters, client), Deadline(_SEARCH_S))
        return packed({"dead_letters": [one.as_json() for one in found], "complete": complete})

    return answer_of(await state_of(request).pools.reads.run(read))


@router.post(
    "/v1/dead-letters:replay",
    responses=responses(*BODY, ok={200: Replayed}),
    openapi_extra=body_of({"$ref": f"#/components/schemas/{Replay.__name__}"}),
)
async def replay_dead_letters(request: Request, client: Operator) -> Response:
    """Send dead letters on their way again; twice does it once."""
    state = state_of(request)
    replay = _replay(await json_body(request, SHORT, SHORT_BYTES))

    def move(deployment: Deployment) -> MoveOutcome:
        letters, deadline = dead_letters.DeadLetterReader(deployment), Deadline(_SEARCH_S)
        ids, complete = replay.ids, True
        if not ids:
            wanted = letters.as_of_now(_filter(replay, letters, client))
            found, complete = search(letters, wanted, deadline)
            ids = [one.id for one in found]
        run = Run(
            client.actor,
            dry_run=replay.dry_run,
            pause=deadline.pause,
            producers=client.producers,
            may_repeat=replay.may_repeat,
        )
        outcome = letters.replay(ids, run)
        outcome.stopped |= not complete
        return outcome

    outcome = await state.pools.changes.run(move)
    if outcome.moved and not replay.dry_run:
        state.telemetry.routes("replayed", ANY_CHANNEL, outcome.moved)
    replayed = {"dry_run": replay.dry_run, **outcome.as_json()}
    if outcome.fault:
        raise unavailable(f"redis failed: {outcome.fault}; repeat the request", more=replayed)
    return answer(replayed)


def search(
    letters: dead_letters.DeadLetterReader, wanted: DeadFilter, deadline: Deadline
) -> tuple[list[DeadLetterView], bool]:
    """Return what matches a filter, and whether the search was complete within its time."""
    found: list[DeadLetterView] = []
    # What is passed over takes time, too: a filter without matches looks at everything.
    for letter in letters.matching(replace(wanted, types=(), producers=(), classes=(), limit=None)):
        if wanted.matches(letter):
            found.append(letter)
        if len(found) == wanted.limit:
            break
        if deadline.is_over:
            return found, False
    return found, True


def _replay(value: Any) -> Replay:
    try:
        replay = Replay.model_validate(value)
    except ValidationError as error:
        raise refused_values(error.errors(include_url=False)) from None
    for index, name in enumerate(replay.ids):
        if parse_target(name) is None:
            raise not_valid(f"ids[{index}]", "is not the id of a notification, route or event")
    if replay.ids and (replay.narrows or replay.all):
        raise not_valid("ids", "give ids or a filter, not both")
    if not (replay.ids or replay.narrows or replay.all):
        raise not_valid("ids", 'select dead letters: ids, a filter such as class, or "all": true')
    return replay


def _filter(query: DeadQuery, letters: dead_letters.DeadLetterReader, client: Client) -> DeadFilter:
    now_ms = letters.now_ms() if query.since or query.until else 0
    return DeadFilter(
        channels=tuple(dict.fromkeys(query.channel)),
        types=tuple(query.type),
        producers=client.among(query.producer),
        classes=tuple(query.class_),
        since_ms=moment("since", query.since, now_ms),
        until_ms=moment("until", query.until, now_ms),
        limit=query.limit,
    )
