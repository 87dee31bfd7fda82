"""The kind ``log``: a line for each notification, without its contents."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.log_kind import LogKind
from galaxy_notify.telemetry.logs import configure_logs
from tests.support.own_channels import EVENT, contact, delivery


def test_send__logs_one_line_without_contents() -> None:
    """The line says which notification it is, and for whom; the title and the data stay out."""
    configure_logs()
    with capture_logs() as lines:
        made = asyncio.run(LogKind().send(delivery("audit"), Target(), 0.0))
    assert made == Attempt("delivered")
    assert lines == [
        {
            "event": "notification logged",
            "log_level": "info",
            "component": "log channel",
            "channel": "audit",
            "user": "u1",
            "event_id": "n1/mine:u1",
            "type": "game.turn.ready",
            "severity": "notice",
            "producer": "lobby",
            "attempt": 2,
        }
    ]


def test_targets__are_one_without_contact() -> None:
    """It reaches nobody, so it needs no contacts."""
    kind = LogKind()
    assert not kind.has_contacts
    assert list(kind.targets([contact()], EVENT)) == [Target()]
    asyncio.run(kind.close())
