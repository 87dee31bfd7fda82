"""The encoder of the demo: it fails where the story needs a failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route

#: Names the file whose existence means that the broken template has been repaired.
REPAIRED_VARIABLE: Final = "DEMO_TEMPLATE_REPAIRED"
_FAILURES: Final = 2


def encode(notification: Notification, route: Route) -> bytes:
    """Return the packed payload; fail where the story needs it."""
    if notification.type == "mail.slow" and route.attempts < _FAILURES:
        raise TransientEncodingError("the template service is busy")
    if notification.type == "mail.broken" and not Path(os.environ[REPAIRED_VARIABLE]).exists():
        raise ValueError("template mail.broken has no title")
    return notification.packed
