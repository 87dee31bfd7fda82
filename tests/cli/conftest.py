"""A deployment of one shard, and its command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import CommandLine
from tests.support.dead import Graveyard, graveyard
from tests.support.servers import Server


@pytest.fixture
def yard(server: Server) -> Iterator[Graveyard]:
    """Give a deployment of one shard."""
    with graveyard(server) as made:
        yield made


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give its command line."""
    return CommandLine(server.url)
