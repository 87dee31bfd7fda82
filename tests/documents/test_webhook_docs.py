"""docs/webhooks.md: its program prints what the page says."""

from __future__ import annotations

import json
import subprocess
import sys

from galaxy_notify.model.live_event import LiveEvent
from tests.support.documents import runnable, text_of
from tests.support.program import ROOT
from tests.support.wait import HANG_S

PAGE = "docs/webhooks.md"


def test_program__prints_what_the_page_says() -> None:
    """The id of a request, and why the same request is refused today."""
    [block] = runnable(PAGE, "python")
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        cwd=ROOT,
    )
    assert done.stderr == ""
    verified, refused = done.stdout.splitlines()
    assert f"It prints `{verified}` and `{refused}`" in text_of(PAGE)


def test_body__is_what_is_sent() -> None:
    """An event has these fields, in this order."""
    [block] = runnable(PAGE, "json", "body")
    shown = json.loads(block.text)
    event = LiveEvent(**{name: shown[name] for name in LiveEvent._fields})
    assert list(event.document().items()) == list(shown.items())
