"""Endpoints of users: add, list, renew, disable, test and remove them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, NamedTuple, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from galaxy_notify.channels.webhook_endpoint import NewEndpoint, WebhookEndpoint
from galaxy_notify.channels.webhook_endpoints import WebhookEndpoints
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.auth import Client
from galaxy_notify.http.body import json_object
from galaxy_notify.http.dependencies import AppState, ProducerOrOperator, ProducerOrReader, state_of
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.pools import DEADLINE_S
from galaxy_notify.http.preferences import User
from galaxy_notify.http.queries import AttemptsQuery, RotateQuery
from galaxy_notify.http.request_schemas import ENDPOINT_ID, WEBHOOK
from galaxy_notify.http.responses import answer, not_valid
from galaxy_notify.http.webhook_schemas import (
    EndpointAttempts,
    NewWebhook,
    RemovedWebhook,
    Webhook,
    Webhooks,
    WebhookTrial,
)
from galaxy_notify.redis_client.flows import Flow, run_flow_sync
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.web.problems import Problem

T = TypeVar("T")
router = APIRouter(tags=["webhooks"])

_PATH: Final = "/v1/users/{user}/webhooks"
_ONE: Final = f"{_PATH}/{{endpoint_id}}"

Id = Annotated[str, Path(description="Id of an endpoint", pattern=f"^{ENDPOINT_ID}$")]


class _Asked(NamedTuple):
    """The endpoints of all users, and the state of the server."""

    state: AppState
    endpoints: WebhookEndpoints

    async def read(self, flow: Callable[[KeySpace], Flow[T]]) -> T:
        """Run a flow that reads."""
        return await self.state.pools.reads.run(_running(flow))

    async def change(self, flow: Callable[[KeySpace], Flow[T]]) -> T:
        """Run a flow that changes something."""
        return await self.state.pools.changes.run(_running(flow))


@router.get(_PATH, responses=responses(404, 422, ok={200: Webhooks}))
async def list_webhooks(request: Request, client: ProducerOrReader, user: User) -> Response:
    """List the endpoints of a user; their URLs are masked for who may only read."""
    asked = _asked(request, client)
    found = await asked.read(lambda key_space: asked.endpoints.of(key_space, user))
    is_masked = not client.may("producer", "operator")
    return answer({"user": user, "webhooks": found.documents(masked=is_masked)})


@router.post(
    _PATH,
    status_code=201,
    responses=responses(*BODY, 404, 409, ok={201: NewWebhook}),
    openapi_extra=body_of(WEBHOOK),
)
async def add_webhook(request: Request, client: ProducerOrOperator, user: User) -> Response:
    """Add an endpoint; its secret is in this answer only."""
    asked = _asked(request, client)
    body = await json_object(request, "url", "types", "headers", "channel")
    given = {name: value for name, value in body.items() if value is not None}
    url = given.pop("url", None)
    if not isinstance(url, str):
        raise not_valid("url", "must be text")
    channel = asked.endpoints.channel(given.pop("channel", None))
    await asked.state.trials.check(channel, url)
    wanted = NewEndpoint(user, url, **given, channel=channel)
    added = await asked.change(lambda key_space: asked.endpoints.add(key_space, wanted))
    return answer(added.document(), 201)


@router.delete(_ONE, responses=responses(404, 422, ok={200: RemovedWebhook}))
async def remove_webhook(
    request: Request, client: ProducerOrOperator, user: User, endpoint_id: Id
) -> Response:
    """Remove an endpoint; what is still to be sent to it is not."""
    asked = _asked(request, client)
    removed = await asked.change(
        lambda key_space: asked.endpoints.remove(key_space, user, endpoint_id)
    )
    if not removed:
        raise _not_found(user, endpoint_id)
    return answer({"id": endpoint_id, "user": user})


@router.post(f"{_ONE}/rotate", responses=responses(404, 409, 422, ok={200: NewWebhook}))
async def rotate_webhook(
    request: Request,
    client: ProducerOrOperator,
    user: User,
    endpoint_id: Id,
    query: Annotated[RotateQuery, Query()],
) -> Response:
    """Give an endpoint a new secret, which is in this answer only."""
    asked = _asked(request, client)
    found = await asked.change(
        lambda key_space: asked.endpoints.rotate(
            key_space, user, endpoint_id, at_once=query.at_once
        )
    )
    return answer(_there(found, user, endpoint_id).document())


@router.post(f"{_ONE}/enable", responses=responses(404, 409, 422, ok={200: Webhook}))
async def enable_webhook(
    request: Request, client: ProducerOrOperator, user: User, endpoint_id: Id
) -> Response:
    """Send to an endpoint again."""
    asked = _asked(request, client)
    found = await asked.change(
        lambda key_space: asked.endpoints.enable(key_space, user, endpoint_id)
    )
    return answer(_there(found, user, endpoint_id).document())


@router.post(f"{_ONE}/disable", responses=responses(404, 409, 422, ok={200: Webhook}))
async def disable_webhook(
    request: Request, client: ProducerOrOperator, user: User, endpoint_id: Id
) -> Response:
    """Send nothing more to an endpoint until it is enabled."""
    asked = _asked(request, client)
    found = await asked.change(
        lambda key_space: asked.endpoints.disable(key_space, user, endpoint_id)
    )
    return answer(_there(found, user, endpoint_id).document())


@router.post(f"{_ONE}/test", responses=responses(404, 409, 422, ok={200: WebhookTrial}))
async def test_webhook(
    request: Request, client: ProducerOrOperator, user: User, endpoint_id: Id
) -> Response:
    """Send a test event to an endpoint, from this process; 200 says what became of it."""
    asked = _asked(request, client)

    def find(deployment: Deployment) -> tuple[KeySpace, WebhookEndpoint | None]:
        flow = asked.endpoints.find(deployment.key_space, user, endpoint_id)
        return deployment.key_space, run_flow_sync(deployment.client, flow)

    key_space, found = await asked.state.pools.reads.run(find)
    endpoint = _there(found, user, endpoint_id)
    trial = await asked.state.trials.test(key_space, endpoint, DEADLINE_S)
    return answer(trial.document())


@router.get(f"{_ONE}/attempts", responses=responses(404, 409, 422, ok={200: EndpointAttempts}))
async def list_attempts(
    request: Request,
    client: ProducerOrOperator,
    user: User,
    endpoint_id: Id,
    query: Annotated[AttemptsQuery, Query()],
) -> Response:
    """List the last attempts at an endpoint, newest first."""
    asked = _asked(request, client)
    found = await asked.read(
        lambda key_space: asked.endpoints.attempts(key_space, user, endpoint_id, query.limit)
    )
    listed = [one.as_json() for one in _there(found, user, endpoint_id)]
    return answer({"id": endpoint_id, "user": user, "attempts": listed})


def _asked(request: Request, client: Client) -> _Asked:
    """Raise a `Problem` where there are no endpoints, or not for this client."""
    if client.producers is not None:
        raise Problem("forbidden", f"{client.name} is bound to producers: a user is of all of them")
    state = state_of(request)
    try:
        return _Asked(state, WebhookEndpoints(state.settings))
    except ConfigurationError as error:
        raise Problem("not-found", f"this deployment has no webhooks: {error}") from error


def _running(flow: Callable[[KeySpace], Flow[T]]) -> Callable[[Deployment], T]:
    return lambda deployment: run_flow_sync(deployment.client, flow(deployment.key_space))


def _there(found: T | None, user: str, endpoint_id: str) -> T:
    if found is None:
        raise _not_found(user, endpoint_id)
    return found


def _not_found(user: str, endpoint_id: str) -> Problem:
    return Problem("not-found", f"{user} has no endpoint {endpoint_id}")
