"""Contacts of users: read and replace them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.contact_input import check_channel, read_contacts
from galaxy_notify.contacts.opening import documents, open_book
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.auth import Client
from galaxy_notify.http.body import json_body
from galaxy_notify.http.dependencies import AppState, ProducerOrOperator, ProducerOrReader, state_of
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.preferences import User
from galaxy_notify.http.request_schemas import CONTACTS
from galaxy_notify.http.responses import answer, not_valid
from galaxy_notify.http.schemas import ChangedContacts, StoredContacts
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.settings import ChannelSettings
from galaxy_notify.web.bodies import checked_object
from galaxy_notify.web.problems import Problem

router = APIRouter(tags=["contacts"])

_PATH: Final = "/v1/users/{user}/contacts"


@router.get(_PATH, responses=responses(404, 422, ok={200: StoredContacts}))
async def get_contacts(request: Request, client: ProducerOrReader, user: User) -> Response:
    """List where external channels reach a user; masked for who may only read."""
    state = _checked_state(request, client)
    book = open_book(state.settings)
    is_masked = not client.may("producer", "operator")

    def read(deployment: Deployment) -> list[dict[str, Any]]:
        found = run_flow_sync(deployment.client, book.all_of(deployment.key_space, user))
        return documents(found, state.settings, masked=is_masked)

    return answer({"user": user, "contacts": await state.pools.reads.run(read)})


@router.put(
    _PATH,
    responses=responses(*BODY, 404, 409, ok={200: ChangedContacts}),
    openapi_extra=body_of(CONTACTS),
)
async def put_contacts(request: Request, client: ProducerOrOperator, user: User) -> Response:
    """Replace the contacts of a user of the channels that are named; the others stay."""
    state = _checked_state(request, client)
    book = open_book(state.settings)
    wanted, channels = _wanted(await json_body(request), state.settings.channels)

    def change(deployment: Deployment) -> dict[str, Any]:
        key_space = deployment.key_space
        flow = book.replace(key_space, user, wanted, channels)
        changed = run_flow_sync(deployment.client, flow)
        found = run_flow_sync(deployment.client, book.all_of(key_space, user))
        return {"user": user, "changed": changed, "contacts": documents(found, state.settings)}

    return answer(await state.pools.changes.run(change))


def _checked_state(request: Request, client: Client) -> AppState:
    """Return the state; raise a `Problem` where there are no contacts, or not for this client."""
    if client.producers is not None:
        raise Problem("forbidden", f"{client.name} is bound to producers: a user is of all of them")
    state = state_of(request)
    try:
        open_book(state.settings)
    except ConfigurationError as error:
        raise Problem("not-found", f"this deployment stores no contacts: {error}") from error
    return state


def _wanted(
    body: object, external: Mapping[str, ChannelSettings]
) -> tuple[Sequence[NewContact], Sequence[str]]:
    """Return the contacts of a body, and the channels that it names beside them."""
    if isinstance(body, list):
        return read_contacts(body, external), ()
    given = checked_object(body, "contacts", "channels")
    channels = given.get("channels", [])
    if not isinstance(channels, list):
        raise not_valid("channels", "must be a list")
    named = [check_channel(name, external) for name in channels]
    return read_contacts(given.get("contacts", []), external), named
