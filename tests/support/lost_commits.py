"""Connections to Postgres that end at a COMMIT: before it arrives, or before its reply does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg
import pytest

from galaxy_notify.feed_store import database
from galaxy_notify.feed_store.database import Connected


class LosingConnection(Connected):
    """A connection whose next COMMIT ends it, where *loses* says so."""

    loses: ClassVar[str | None] = None

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a statement; lose the connection ``before`` or ``after`` the COMMIT."""
        lost = LosingConnection.loses if query == "COMMIT" else None
        if lost is not None:
            LosingConnection.loses = None
        if lost == "before":
            self.pgconn.finish()
        done = await super().execute(query, *args, **kwargs)
        if lost == "after":
            self.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return done


@contextmanager
def losing_commits() -> Iterator[type[LosingConnection]]:
    """Have all stores that connect meanwhile use such connections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "Connected", LosingConnection)
        LosingConnection.loses = None
        yield LosingConnection
