"""The one page for users: the link in an e-mail stops further ones to its address.

The link is all that is asked for: no cookie and no other header is read. A GET changes nothing,
for programs open every link of an e-mail to look for malware; only the form, or the button of the
mail program (RFC 8058), which both POST, do.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response

from galaxy_notify.contacts.opening import open_book
from galaxy_notify.contacts.unsubscribing import linked_contact, unsubscribe_flow
from galaxy_notify.errors import ConfigurationError, Corrupt
from galaxy_notify.http.dependencies import state_of
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.web.problems import Problem

if TYPE_CHECKING:
    from galaxy_notify.contacts.sealing import ContactPlace

router = APIRouter(include_in_schema=False)

#: Every route is served to any caller and any browser page: what it may do stands in its link.
PATH: Final = "/v1/unsubscribe"
_FORM: Final = '<form method="post"><button>Unsubscribe</button></form>'
_INVALID: Final = (
    "This link is not valid",
    "It may have been cut. Copy the whole link from the e-mail, or use the one of a newer e-mail.",
)


@router.get(PATH)
async def ask(request: Request, token: str = "") -> Response:
    """Show the form."""
    if _place(request, token) is None:
        return _page(404, *_INVALID)
    return _page(200, "Unsubscribe?", "You will get no more of these e-mails.", _FORM)


@router.post(PATH)
async def unsubscribe(request: Request, token: str = "") -> Response:
    """Disable the contact of the link; a repeat changes nothing more."""
    place = _place(request, token)
    if place is None:
        return _page(404, *_INVALID)
    state = state_of(request)
    book = open_book(state.settings)

    def change(deployment: Deployment) -> bool:
        return run_flow_sync(deployment.client, unsubscribe_flow(book, deployment.key_space, place))

    try:
        is_there = await state.pools.changes.run(change)
    except Problem as problem:
        return _page(problem.status, "Not done yet", "Please try again in a minute.", _FORM)
    except Corrupt:
        get_logger("http").warning("contact not disabled", channel=place.channel, contact=place.id)
        return _page(503, "Not done yet", "Please try again later.", _FORM)
    if is_there:
        get_logger("http").info("user unsubscribed", channel=place.channel, contact=place.id)
    return _page(200, "Unsubscribed", "You will get no more of these e-mails.")


def _place(request: Request, token: str) -> ContactPlace | None:
    """Return which contact a link is about; None where it is not one of this deployment."""
    try:
        return linked_contact(state_of(request).settings, token)
    except ConfigurationError:  # no contacts are stored here
        return None


def _page(status: int, title: str, text: str, form: str = "") -> Response:
    template, style, policy = _parts()
    page = template.substitute(title=escape(title), text=escape(text), form=form, style=style)
    headers = {"Content-Security-Policy": policy}
    return Response(page, status, headers, media_type="text/html; charset=utf-8")


@cache
def _parts() -> tuple[Template, str, str]:
    """Return the page, its style, and what a browser may do with it: send its form, and no more."""
    folder = files("galaxy_notify.http") / "pages"
    style = (folder / "unsubscribe.css").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; sandbox allow-forms"
    )
    return Template((folder / "unsubscribe.html").read_text(encoding="utf-8")), style, policy
