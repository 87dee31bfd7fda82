"""A deployment of one shard, and its command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import CommandLine
from tests.support.dead_letters import DeadLetterFixture, dead_letter_fixture
from tests.support.servers import Server


@pytest.fixture
def deployment(server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of one shard."""
    with dead_letter_fixture(server) as made:
        yield made


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give its command line."""
    return CommandLine(server.url)
