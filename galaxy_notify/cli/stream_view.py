"""What the stream commands print of entries, events and groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from galaxy_notify.cli.output import clock, count, shortened
from galaxy_notify.cli.screen import bad, faint, warn, wrapped
from galaxy_notify.cli.tables import Cell
from galaxy_notify.errors import Corrupt
from galaxy_notify.model.live_event import Retraction
from galaxy_notify.model.wording import duration

if TYPE_CHECKING:
    from galaxy_notify.gateway import Event
    from galaxy_notify.redis_inspect.recent import RecentEntry
    from galaxy_notify.redis_inspect.stream import StreamEntry, StreamReport
    from galaxy_notify.redis_state.group_report import GroupReport

_WIDE = 200


def event_as_json(event: Event, *, payload: bool) -> dict[str, Any]:
    """Return an event for programs; a payload that can't be read has its reason in its place."""
    document: dict[str, Any] = {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "event_type": event.event_type,
        "request_id": event.request_id or None,
        "trace_id": event.trace_id or None,
        "traceparent": event.traceparent or None,
        "stream": event.stream,
        "stream_id": event.stream_id,
        "shard": event.shard,
        "at_ms": _at_ms(event.stream_id),
        "payload_length": len(event.payload_bytes),
        "deliveries": event.deliveries,
    }
    if payload:
        try:
            document["payload"] = event.payload
        except Corrupt as error:
            document |= {"payload": None, "payload_error": str(error)}
    return document


def entry_as_json(entry: StreamEntry, *, payload: bool) -> dict[str, Any]:
    """Return an entry for programs; what can't be read has an ``error`` in its place."""
    try:
        document = event_as_json(_event(entry), payload=payload)
    except Corrupt as error:
        place = {"stream": entry.stream, "stream_id": entry.stream_id, "shard": entry.shard}
        return {**place, "at_ms": _at_ms(entry.stream_id), "error": str(error)}
    del document["deliveries"]
    return document


def entry_line(entry: StreamEntry, *, payload: bool) -> str:
    """Return an entry as people read it."""
    when = f"{clock(_at_ms(entry.stream_id))}  {faint(entry.stream_id)}"
    try:
        event = _event(entry)
    except Corrupt as error:
        return f"{when}  {bad('unreadable')}: {shortened(str(error), _WIDE)}"
    fields = (event.event_type, event.user_id, event.event_id)
    names = "  ".join(shortened(text, _WIDE) for text in fields)
    lines = wrapped(f"{when}  {names}", indent="    ")
    return "\n".join([*lines, f"    {_content(event)}"] if payload else lines)


def recent_line(entry: RecentEntry, *, payload: bool = False) -> str:
    """Return an entry of a recent list as people read it."""
    place = faint(shortened(str(entry.cursor or "–"), _WIDE))
    event = entry.event
    if event is None:
        return f"{place}  {bad('unreadable')}: {shortened(entry.error, _WIDE)}"
    if isinstance(event, Retraction):
        return f"{place}  retracted: {shortened(event.notification_id, _WIDE)}"
    words = (event.type, event.notification_id, event.title)
    names = "  ".join(shortened(text, _WIDE) for text in words if text)
    lines = wrapped(f"{clock(event.created_at_ms)}  {place}  {names}", indent="    ")
    # Its escapes keep it to one line that cannot steer a terminal.
    content = json.dumps({"body": event.body, "data": event.data})
    return "\n".join([*lines, f"    {content}"] if payload else lines)


def group_rows(report: StreamReport, parked: int) -> Iterator[list[Cell]]:
    """Lay out the groups of a stream."""
    head: list[Cell] = [report.key, report.length, warn(count(parked)) if parked else 0]
    if report.fault:
        yield [*head, bad(shortened(report.fault, 60)), None, None, None, None]
    elif not report.groups:
        yield [*head, faint("no group"), None, None, None, None]
    for name, group in report.groups.items():
        oldest = group["oldest_pending_s"]
        lost = group["lost"]
        yield [
            *head,
            shortened(name, 60),
            lag_shown(group),
            group["pending"],
            None if oldest is None else duration(oldest * 1000),
            bad(count(lost)) if lost else lost,
        ]


def lag_shown(group: GroupReport) -> Cell:
    """Return a lag for people; of what was not counted to its end, the least that it is."""
    lag = group["lag"]
    return f"> {count(group.get('lag_at_least', 0))}" if lag is None else lag


def _event(entry: StreamEntry) -> Event:
    from galaxy_notify.gateway.event import decode_event
    from galaxy_notify.redis_client.stream_member import Entry

    as_read = Entry(entry.stream_id, entry.fields, deliveries=0)
    return decode_event(as_read, entry.stream, entry.shard)


def _content(event: Event) -> str:
    try:
        # Its escapes keep it to one line that cannot steer a terminal.
        return json.dumps(event.payload)
    except Corrupt as error:
        return f"{bad('unreadable')}: {shortened(str(error), _WIDE)}"


def _at_ms(stream_id: str) -> int:
    return int(stream_id.partition("-")[0])
