"""bunqueue on Bun: a broker of its own, with clients over TCP."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tests.bench.peers.environments import BunEnvironment


class _Bunqueue(BunEnvironment):
    """Its server and its clients are one package."""

    server = ("node_modules/bunqueue/dist/cli/index.js",)

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment without settings that its server reads."""
        return {k: v for k, v in os.environ.items() if not k.startswith("BUNQUEUE_")}


BUNQUEUE = _Bunqueue("bunqueue", "bunqueue", "bun")
