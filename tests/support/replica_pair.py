"""A primary and its replica, which have time enough for each other while both run."""

from __future__ import annotations

import pytest

from galaxy_notify.redis_client import durability
from tests.support.servers import Server
from tests.support.wait import wait_until

_USUAL_MS, _PATIENT_MS = durability.WAIT_MS, 5000


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: Server, replica: Server, patch: pytest.MonkeyPatch) -> None:
        self.primary = primary
        self.replica = replica
        self._patch = patch
        self._wait_for_it()

    def pause(self) -> None:
        """Freeze the replica; who connects from now on does not wait for it for long."""
        self._patch.setattr(durability, "WAIT_MS", _USUAL_MS)
        self.replica.pause()

    def go_on(self) -> None:
        """Let a paused replica go on, and wait until it has all there is."""
        self._wait_for_it()
        self.replica.resume()
        with self.primary.client() as client:
            wait_until(
                lambda: client.set("mark", "x") and client.wait(1, 500) == 1, "the replica has all"
            )

    def _wait_for_it(self) -> None:
        # A replica that only stands still for a while has it in time.
        self._patch.setattr(durability, "WAIT_MS", _PATIENT_MS)
