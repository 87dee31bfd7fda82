"""An empty shard, once on each flavour of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scripts.support.shard import Shard, shard_on
from tests.support.servers import Server


@pytest.fixture
def shard(any_server: Server) -> Iterator[Shard]:
    """Give an empty shard; the test runs once on each flavour this machine has."""
    with shard_on(any_server) as found:
        yield found
