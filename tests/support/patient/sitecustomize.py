"""Loaded by an interpreter before its program: calls wait as long as they do in the tests.

Nothing of the program is imported for that; see `tests.support.patience`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_REDIS = "galaxy_notify.redis_client.connection"
_POSTGRES = "galaxy_notify.feed_store.database"


class _Patience:
    """Finds the modules that open connections, and changes them once they have run."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wanted = name in (_REDIS, _POSTGRES)
        spec = PathFinder.find_spec(name, path, target) if wanted else None
        if spec is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                call_s, connect_s = map(float, os.environ["GN_PATIENCE_S"].split())
                if name == _REDIS:
                    module.SOCKET_TIMEOUT_S, module.CONNECT_TIMEOUT_S = call_s, connect_s
                else:
                    module._OPTIONS["connect_timeout"] = int(connect_s)

            loader.exec_module = exec_module
        return spec


if "GN_PATIENCE_S" in os.environ:
    sys.meta_path.insert(0, _Patience)
