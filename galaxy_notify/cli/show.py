"""``show``: one notification explained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import clock, echo, echo_json, history_lines, note, plural
from galaxy_notify.cli.screen import bad, escaped, faint, good, printable, strong, warn, wrapped
from galaxy_notify.model.wording import ago, duration

if TYPE_CHECKING:
    from galaxy_notify.operations.show import Shown

_ROUTES_SHOWN: Final = 20
_COLOURS: Final = {"published": good, "dead_letter": bad, "corrupt": bad, "failed": warn}


@click.command("show")
@click.argument("name", metavar="ID")
@click.option("--payload", is_flag=True, help="Also show title, body and data.")
@with_json
def command(app: Application, name: str, payload: bool, as_json: bool) -> int:
    """Explain one notification: its routes, their history and why they wait.

    ID is the id of a notification, a route (ID/push:user-7) or an event. Exit code 3 when it is
    unknown.
    """
    from galaxy_notify.model.ids import parse_target

    target = parse_target(name)
    shown = None
    if target is not None:
        from galaxy_notify.operations.show import show

        with app.open() as deployment:
            shown = show(deployment, target)
    if shown is None:
        note(f"unknown: {printable(name)}" + ("" if target else " is not a valid id"))
        return Exit.NOTHING
    if as_json:
        echo_json(shown.as_json(payload=payload))
    else:
        echo("\n".join(_lines(shown, shown.as_json(payload=payload))))
    return Exit.OK


def _lines(shown: Shown, facts: dict[str, Any]) -> Iterator[str]:
    now, routes = shown.around.now_ms, facts["routes"]
    yield strong(facts["notification_id"])
    for name, value in _facts(facts, now):
        yield from wrapped(printable(value), first=f"  {name:<9} ", indent=" " * 12)
    if "payload" in facts:
        payload = json.dumps(facts["payload"], indent=2, ensure_ascii=False)
        yield from ("  " + escaped(line) for line in payload.split("\n"))
    for route in routes[:_ROUTES_SHOWN]:
        yield ""
        yield from _route(route, now)
    if len(routes) > _ROUTES_SHOWN:
        yield ""
        more = (
            f"{len(routes) - _ROUTES_SHOWN:,} more routes: --json shows all,"
            f" `galaxy-notify show {facts['notification_id']}/ROUTE` one"
        )
        yield from map(faint, wrapped(more))


def _facts(facts: dict[str, Any], now: int) -> Iterator[tuple[str, str]]:
    yield "what", f"{facts['type']} by {facts['producer']}, {facts['severity']}"
    if facts["created_at_ms"] is not None:
        yield "accepted", f"{clock(facts['created_at_ms'])} ({ago(facts['created_at_ms'], now)})"
        if facts["due_at_ms"] > facts["created_at_ms"]:
            yield "due", f"{clock(facts['due_at_ms'])} ({ago(facts['due_at_ms'], now)})"
    if facts["expires_at_ms"] is not None:
        yield "expires", f"{clock(facts['expires_at_ms'])} ({ago(facts['expires_at_ms'], now)})"
    for name, key in (("request", "request_id"), ("trace", "trace_id")):
        if facts[key]:
            yield name, facts[key]
    states = Counter(route["status"] for route in facts["routes"])
    counted = ", ".join(f"{number:,} {status}" for status, number in states.most_common())
    parts = f" in {plural(facts['parts'], 'part')}" if facts["parts"] > 1 else ""
    yield "routes", f"{counted}{parts}"
    if facts["ttl_ms"] is not None:
        yield "kept", f"for another {duration(facts['ttl_ms'])}"


def _route(route: dict[str, Any], now: int) -> Iterator[str]:
    colour = _COLOURS.get(route["status"], str)
    again = f", generation {route['generation']}" if route["generation"] > 1 else ""
    yield f"{strong(printable(route['route_id']))}  {colour(route['status'])}{again}"
    yield from wrapped(printable(route["why"]), first="  ", indent="    ")
    yield from history_lines(route["history"])
