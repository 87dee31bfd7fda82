"""Webhooks for the tests of channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.deployment import Deploy
from tests.support.receiver import Receiver
from tests.support.servers import Server
from tests.support.webhook_world import OK, WebhookWorld, play_webhooks


@pytest.fixture
def play(deploy: Deploy, server: Server) -> Callable[..., None]:
    """Run a scenario with a kind and a receiver that gives these answers."""
    deployment = deploy(server)

    def run(scenario: Callable[[WebhookWorld], Awaitable[None]], *answers: bytes) -> None:
        asyncio.run(play_webhooks(deployment, Receiver(*(answers or (OK,))), scenario))

    return run
