"""``bench``: what this server and one process make of it, in a prefix that is thrown away."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.context import Application, json_option, pass_uninterrupted
from galaxy_notify.cli.output import echo, echo_json, echo_table, note, plural
from galaxy_notify.cli.screen import faint
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.cli.bench_measure import Measured
    from galaxy_notify.redis_inspect.servers import ServerName
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.settings import Settings


@click.command("bench")
@click.option(
    "--routes",
    type=click.IntRange(100, 1_000_000),
    default=20_000,
    show_default=True,
    help="Number of routes to accept and publish.",
)
@json_option
@pass_uninterrupted
def command(app: Application, routes: int, as_json: bool) -> None:
    """Measure this server under a temporary prefix.

    Accepts notifications with 200 bytes of text, publishes them with one worker in this process,
    and compares the rates with the server's limit. All keys are written under a temporary prefix
    and removed at the end, also after an interrupt. Needs about 1 KB of Redis memory per route.
    """
    from galaxy_notify.cli.bench_measure import check_empty, throwaway_settings
    from galaxy_notify.redis_inspect.servers import read_server_name
    from galaxy_notify.redis_state.deployment import connect
    from galaxy_notify.telemetry.logs import configure_logs

    SIGNALS.restore_ignored_sigint()
    SIGNALS.raise_if_ending()
    configure_logs("error")
    settings = throwaway_settings(app.settings)
    with closing(connect(settings)) as deployment:
        check_empty(deployment)
        measured, removed = _measured(settings, deployment, routes)
        server = read_server_name(deployment)
    if as_json:
        echo_json(_document(measured, server, routes) | {"removed_keys": removed})
    else:
        _show(measured, server, routes)
        echo(faint(f"{plural(removed, 'key')} below {settings.redis.prefix} removed"))


def _measured(settings: Settings, deployment: Deployment, routes: int) -> tuple[Measured, int]:
    """Measure, and remove all that was written, however it ends."""
    from galaxy_notify.cli.bench_measure import measure, remove

    note(f"measuring below the prefix {settings.redis.prefix}, with {plural(routes, 'route')}")
    removed = 0
    # Signals do nothing but end it between two calls: no call is left on its way, and the
    # removal is not disturbed.
    with SIGNALS.delivering_to(lambda _: None):
        try:
            measured = measure(settings, deployment, routes)
        finally:
            removed = remove(deployment)
    return measured, removed


def _document(measured: Measured, server: ServerName, routes: int) -> dict[str, object]:
    return {
        "server": {"flavour": server.flavour, "version": server.version},
        "routes": routes,
        "round_trip_ms": {"p50": round(measured.p50_ms, 3), "p99": round(measured.p99_ms, 3)},
        "xadd_per_s": round(measured.floor),
        "accepted_per_s": round(measured.accepted),
        "published_per_s": round(measured.published),
    }


def _show(measured: Measured, server: ServerName, routes: int) -> None:
    echo(f"{server.flavour} {server.version}, one process, {plural(routes, 'route')}")
    share = measured.published / measured.floor
    rows = [
        ("accept, in batches", f"{measured.accepted:,.0f} /s", ""),
        ("publish, one worker", f"{measured.published:,.0f} /s", f"{share:.0%} of XADD alone"),
        ("XADD alone", f"{measured.floor:,.0f} /s", "upper limit of publishing"),
        ("a bare write", f"{measured.p50_ms:.3f} ms", f"p99 {measured.p99_ms:.3f} ms"),
    ]
    echo_table(("", "measured", ""), rows)
