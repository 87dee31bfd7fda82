"""How commands show endpoints of users to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from galaxy_notify.cli.exits import Exit, print_error
from galaxy_notify.cli.output import clock, count, echo, echo_json, note, plural, shortened
from galaxy_notify.cli.screen import faint, printable

if TYPE_CHECKING:
    from galaxy_notify.channels.webhook_replay import ReplayOutcome

#: Columns that the beginning of a response takes.
_RESPONSE: Final = 400


def echo_endpoint(found: Mapping[str, Any]) -> None:
    """Print an endpoint in one line, as its document has it."""
    text = f"  {found['channel']} {found['id']}  "
    if found["unreadable"]:
        echo(text + printable(f"unreadable: {found['unreadable']}"))
        return
    text += printable(found["url"])
    if found["types"]:
        text += printable(f"  only {', '.join(map(str, found['types']))}")
    if found["disabled_at_ms"] is not None:
        since, reason = clock(found["disabled_at_ms"]), found["disabled_reason"]
        text += f"  disabled {since}: {printable(reason or 'no reason given')}"
    echo(text)


def echo_secret(found: Mapping[str, Any]) -> None:
    """Print an endpoint's secret, which no command prints again."""
    echo(f"  secret {found['secret']}")


def echo_attempt(found: Mapping[str, Any]) -> None:
    """Print an attempt, as its document has it."""
    echo(f"{faint(clock(found['at_ms']))}  {_outcome(found)}")
    echo(printable(f"    {found['type']} {found['notification_id']}  attempt {found['attempt']}"))
    _echo_response(found)


def echo_trial(found: Mapping[str, Any]) -> None:
    """Print what became of a test event."""
    echo(_outcome(found))
    echo(f"    {found['type']} {found['webhook_id']}")
    _echo_response(found)


def report_replay(outcome: ReplayOutcome, *, as_json: bool) -> int:
    """Print what became of a replay; return the exit code."""
    if as_json:
        echo_json(outcome.as_json())
    elif outcome.matched:
        _echo_replay(outcome)
    else:
        note("nothing matched")
    if outcome.dead.fault:
        print_error(f"redis failed: {outcome.dead.fault}; run it again")
    if outcome.stopped_at_ms is not None:
        note(f"stopped: the endpoint does not work; go on with --since {outcome.stopped_at_ms}")
    if outcome.kept_since_ms > outcome.since_ms:
        note(f"what ended before {clock(outcome.kept_since_ms)} may be missing: it was trimmed")
    if not outcome.matched:
        return Exit.NOTHING
    if outcome.is_whole:
        return Exit.OK
    return Exit.PARTLY if outcome.done else Exit.FAILED


def _echo_replay(outcome: ReplayOutcome) -> None:
    dead = outcome.dead
    echo(f"sent {plural(outcome.sent, 'event')}")
    for reason, number in outcome.failed.items():
        echo(printable(f"  {count(number)} not sent: {reason}"))
    if outcome.gone:
        echo(f"  {count(outcome.gone)} not sent: no longer kept (retention.settled_ms)")
    if dead.matched:
        echo(f"{plural(dead.moved, 'dead letter')} due again")
    for reason, number in dead.failed.items():
        echo(printable(f"  {count(number)} not replayed: {reason}"))


def _outcome(found: Mapping[str, Any]) -> str:
    status = "" if found["status"] is None else f" {found['status']}"
    told = found["detail"] or found["reason"]
    text = f"{found['outcome']}{status}" + (f": {told}" if told else "")
    return printable(f"{text}  in {found['took_ms']} ms")


def _echo_response(found: Mapping[str, Any]) -> None:
    if found["response"]:
        echo(f"    {shortened(found['response'], _RESPONSE)}")
