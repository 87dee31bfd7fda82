"""How the commands of channels show them, as JSON and to people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from galaxy_notify.cli.output import count, echo, echo_table, note
from galaxy_notify.cli.screen import bad, good, printable, strong, warn
from galaxy_notify.model.wording import duration

if TYPE_CHECKING:
    from galaxy_notify.redis_inspect.inspector import ChannelBacklog
    from galaxy_notify.settings import Settings

#: What people read for a channel without a kind: it ends in the gateway stream.
_STREAM: Final = "(stream)"
_COUNTED: Final = ("scheduled", "due", "overdue", "leased", "dead")
_SHOWN: Final = 200


def channel_document(name: str, backlog: ChannelBacklog, settings: Settings) -> dict[str, Any]:
    """Return a channel as JSON has it; the kind of a stream channel is null."""
    external = settings.channels.get(name)
    return {
        "channel": name,
        "kind": external.kind if external else None,
        "scheduled": backlog.scheduled,
        "due": backlog.due,
        "overdue": backlog.overdue,
        "oldest_overdue_s": backlog.oldest_overdue_ms / 1000,
        "leased": backlog.leased,
        "dead": backlog.dead,
        "paused": backlog.paused,
        "paused_s": None if backlog.paused_ms is None else backlog.paused_ms / 1000,
    }


def echo_channels(documents: Sequence[Mapping[str, Any]]) -> None:
    """Print a table with a row for each channel."""
    header = ("channel", "kind", "scheduled", "overdue", "dead", "")
    rows = [
        (
            one["channel"],
            printable(one["kind"] or _STREAM),
            *(count(one[name]) for name in ("scheduled", "overdue", "dead")),
            "paused" if one["paused"] else "",
        )
        for one in documents
    ]
    echo_table(header, rows, uncut=("channel",))


def echo_channel(document: Mapping[str, Any]) -> None:
    """Print one channel with its settings and what is wrong with them."""
    echo(f"{strong(document['channel'])}  {printable(document['kind'] or _STREAM)}")
    counts = (f"{count(document[name])} {name}" for name in _COUNTED)
    echo(f"  {', '.join(counts)}")
    if document["paused"]:
        since = document["paused_s"]
        known = "" if since is None else f" for {duration(int(since * 1000))}"
        echo(f"  {warn('paused')}{known}")
    for problem in document["problems"]:
        echo(f"  {bad('!')} {printable(problem)}")
    rows = [
        (name, "–" if value is None else printable(json.dumps(value, ensure_ascii=False)))
        for name, value in (document["settings"] or {}).items()
        if name != "kind"
    ]
    echo_table(("setting", "value"), rows, indent="  ", whole=("setting",))


def echo_tried(document: Mapping[str, Any]) -> None:
    """Print what became of a test message, a line for each address."""
    if not document["addresses"]:
        note(f"{document['user']} has no contact of {document['channel']}")
    for one in document["addresses"]:
        named = "".join(f"{printable(one[name])}  " for name in ("id", "address") if one[name])
        colour = good if one["outcome"] == "delivered" else warn
        said = one["detail"] or one["reason"] or ""
        if one["status"] and one["outcome"] == "delivered":
            said = f"it answered {one['status']}"
        echo(f"{named}{colour(one['outcome'])}" + (f": {printable(said)}" if said else ""))
        if one["response"] and one["outcome"] != "delivered":
            echo(f"  {printable(one['response'][:_SHOWN])}")
