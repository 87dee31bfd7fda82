"""Users: delete what is kept of one."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
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
    EndedRoutes,
    Forgotten,
    Remaining,
    delete_keys,
    end_routes,
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

    deadline = Deadline(_SEARCH_S)

    def end(deployment: Deployment) -> EndedRoutes:
        return end_routes(deployment, user, client.actor, lambda: deadline.is_over)

    def delete(deployment: Deployment) -> tuple[Mapping[str, bool], Sequence[Remaining]]:
        return delete_keys(deployment, user), remaining(deployment.shared, state.settings)

    async def delete_rows() -> int | None:
        with feed_faults():
            return await forget_rows(state.retractor.store, user)

    routes, redis = await _or_outage(state.pools.changes.run(end))
    rows, postgres = await _or_outage(state.retractor.calls.run(delete_rows))
    found = None
    if routes is not None:
        found, redis = await _or_outage(state.pools.changes.run(delete))
    if routes is None or found is None or postgres:
        raise unavailable(half_done(redis, postgres))
    keys, rest = found
    if routes.cancelled:
        state.telemetry.routes("cancelled", ANY_CHANNEL, routes.cancelled)
    done, left = Forgotten(routes, rows, keys), [one._asdict() for one in rest]
    return answer({"user": user, **done.as_json(), "remaining": left})


async def _or_outage(call: Awaitable[T]) -> tuple[T | None, str]:
    """Return what a call returns, or why it may work in a moment."""
    try:
        return await call, ""
    except Problem as problem:
        if problem.status != SERVICE_UNAVAILABLE:
            raise
        return None, problem.detail
