"""Scripts are read once, before they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_notify.gateway import GatewayConsumer
from galaxy_notify.redis_client.scripts import names, script
from galaxy_notify.settings import settings_from


def test_scripts__are_read_before_the_first_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may open no more files, or whose files were replaced, goes on."""
    script.cache_clear()
    GatewayConsumer(settings_from({}), group="g", consumer="c")

    def no_more(*_: object) -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", no_more)
    assert {script(name).name for name in names()} == set(names())
