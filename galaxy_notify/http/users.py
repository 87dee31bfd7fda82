"""Users: delete what is kept of one."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from http.client import SERVICE_UNAVAILABLE
from typing import Final, TypeVar

from fastapi import APIRouter, Request, Response

from galaxy_notify.feed.forgotten_rows import forget_rows
from galaxy_notify.http.dependencies import ANY_CHANNEL, Operator, state_of
from galaxy_notify.http.openapi import responses
from galaxy_notify.http.pools import Deadline
from galaxy_notify.http.preferences import User
from galaxy_notify.http.responses import answer, feed_faults, unavailable
from galaxy_notify.http.schemas import ForgottenUser
from galaxy_notify.operations.forgetting import (
    Forgotten,
    Remaining,
    forget,
    half_done,
    remaining,
)
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.web.problems import Problem

T = TypeVar("T")
router = APIRouter(tags=["users"])

#: How long the list of notifications is looked at: less than the longest wait of an answer.
_SEARCH_S: Final = 5.0


@router.delete("/v1/users/{user}", responses=responses(422, ok={200: ForgottenUser}))
async def forget_user(request: Request, client: Operator, user: User) -> Response:
    """Delete what is kept of a user, and list what ends by itself."""
    state = state_of(request)
    if client.producers is not None:
        raise Problem("forbidden", f"{client.name} is bound to producers: a user is of all of them")

    def work(deployment: Deployment) -> tuple[Forgotten, Sequence[Remaining]]:
        done = forget(deployment, user, client.actor, lambda: deadline.is_over)
        return done, remaining(deployment.shared, state.settings)

    async def work_on_rows() -> int | None:
        with feed_faults():
            return await forget_rows(state.retractor.store, user)

    deadline = Deadline(_SEARCH_S)
    found, redis = await _or_outage(state.pools.changes.run(work))
    rows, postgres = await _or_outage(state.retractor.calls.run(work_on_rows))
    if found is None or postgres:
        raise unavailable(half_done(redis, postgres))
    done, rest = found
    if done.cancelled:
        state.telemetry.routes("cancelled", ANY_CHANNEL, done.cancelled)
    left = [one._asdict() for one in rest]
    return answer({"user": user, **done.as_json(), "rows": rows, "remaining": left})


async def _or_outage(call: Awaitable[T]) -> tuple[T | None, str]:
    """Return what a call returns, or why it may work in a moment."""
    try:
        return await call, ""
    except Problem as problem:
        if problem.status != SERVICE_UNAVAILABLE:
            raise
        return None, problem.detail
