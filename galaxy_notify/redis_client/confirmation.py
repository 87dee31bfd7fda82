"""How a round trip ends where writes must be safe: with a wait, whose outcome is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from galaxy_notify.redis_client.durability import Confirm
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import tag_in
from galaxy_notify.redis_client.scripts import Call, Read


def ending_of(calls: Sequence[Call | Read], confirm: Confirm | None) -> list[Read]:
    """Return what makes the end of a round trip wait; one that only reads does not."""
    if not confirm or not (tags := _tags(calls)):
        return []
    return confirm.reads(*(f"{tag}:confirmed" for tag in tags))


def _tags(calls: Sequence[Call | Read]) -> list[str | None]:
    """Return the hash tags under which is written."""
    return list(dict.fromkeys(tag_in(call.command) for call in calls if isinstance(call, Call)))


def confirmed(
    calls: Sequence[Call | Read], replies: list[Any], ending: list[Read], confirm: Confirm | None
) -> list[Any]:
    """Return the replies before the ending, with a fault for each write that it does not confirm.

    What was refused, or did not run because its script is unknown, keeps its own error.
    """
    if not confirm or not ending:
        return replies
    found, (*marks, waited) = replies[: -len(ending)], replies[-len(ending) :]
    tags = zip(_tags(calls), marks, strict=True)
    faults = {tag: confirm.fault([mark, waited]) for tag, mark in tags}
    for place, call in enumerate(calls):
        if isinstance(call, Call) and not isinstance(found[place], Exception):
            fault = faults[tag_in(call.command)]
            found[place] = RedisFault(fault, doubtful=True) if fault else found[place]
    return found
