"""Whether an endpoint is allowed when it is added: its URL, and where its name leads."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

import pytest

from galaxy_notify.channels.resolver import Resolver
from galaxy_notify.channels.webhook_trials import WebhookTrials
from galaxy_notify.errors import InvalidEndpoint
from galaxy_notify.settings import settings_from
from tests.support.contacts import sections

HOSTS = {
    "public.example": ["93.184.215.14"],
    "both.example": ["10.0.0.1", "93.184.215.14"],
    "inside.example": ["10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
}


def _look_up(name: str) -> Sequence[str]:
    if name == "full.example":
        raise OSError(errno.EMFILE, "Too many open files")
    if name not in HOSTS:
        raise OSError(-2, "Name or service not known")
    return HOSTS[name]


def _checked(url: str) -> str:
    async def check() -> str:
        async with WebhookTrials(settings_from(sections()), Resolver(_look_up)) as trials:
            return await trials.check("hooks", url)

    return asyncio.run(check())


@pytest.mark.parametrize("host", ["public.example", "both.example", "93.184.215.14"])
def test_check__of_what_leads_outside(host: str) -> None:
    """One address that is public is enough: the others are never connected to."""
    assert _checked(f"https://{host}/x") == ""


@pytest.mark.parametrize("host", ["inside.example", "10.0.0.1", "[::ffff:127.0.0.1]"])
def test_check__of_what_leads_inside(host: str) -> None:
    """It is refused, and the text does not show the address."""
    with pytest.raises(InvalidEndpoint, match=r"^url: the address is not allowed$"):
        _checked(f"https://{host}/x")


def test_check__of_a_name_that_is_not_there() -> None:
    """It may be there later."""
    assert _checked("https://new.example/x").startswith("the name was not found: ")


def test_check__without_sockets() -> None:
    """It says nothing of the name; each connection is checked again."""
    assert _checked("https://full.example/x") == "Too many open files"
