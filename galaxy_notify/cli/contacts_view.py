"""How commands show contacts to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from galaxy_notify.cli.output import echo
from galaxy_notify.cli.screen import printable


def echo_contacts(contacts: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each contact."""
    for contact in contacts:
        echo(f"  {_line(contact)}")


def _line(contact: Mapping[str, Any]) -> str:
    text = f"{contact['channel']} {contact['id']}  "
    if contact["unreadable"]:
        return text + printable(f"unreadable: {contact['unreadable']}")
    text += printable(contact["address"])
    if contact["disabled_at_ms"] is not None:
        text += f"  disabled: {printable(contact['disabled_reason'] or 'no reason given')}"
    return text
