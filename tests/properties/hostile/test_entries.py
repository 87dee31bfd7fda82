"""Hostile entries of the gateway stream: parked with the reason, their neighbours handled."""

from __future__ import annotations

import asyncio
from typing import Any

from galaxy_notify.gateway import Event
from tests.properties.hostile.corpus import ENTRIES
from tests.support.events import (
    KEYS,
    PATIENT,
    consuming,
    event_fields,
    parked,
    unfinished,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


def _plant(client: Any) -> dict[bytes, str]:
    """Add every entry, each before a sound one; return their stream ids with their names."""
    planted: dict[bytes, str] = {}
    for number, (name, entry) in enumerate(ENTRIES.items(), 1):
        unwrap = {n.encode(): v for n, v in event_fields(2 * number).items()}
        fields = {n: v for n, v in (unwrap | entry.fields).items() if v is not None}
        planted[client.xadd(KEYS.stream, fields)] = name
        client.xadd(KEYS.stream, event_fields(2 * number + 1))
    return planted


async def _read(event: Event) -> None:
    assert event.payload["type"]


def _told(rows: list[dict[bytes, bytes]], planted: dict[bytes, str]) -> dict[str, str]:
    return {planted[row[b"stream_id"]]: row[b"reason"].decode() for row in rows}


def test_entry__is_parked_or_handled(server: Server) -> None:
    """Whatever is in the stream, the consumer goes on, and says of each entry what is wrong."""
    bad = {name: entry.reason for name, entry in ENTRIES.items() if entry.reason}
    with server.client() as client:
        write_deployment(client)
        planted = _plant(client)

        async def consume() -> None:
            async with consuming(server, _read, options=PATIENT):
                await until(lambda: len(parked(client)) >= len(bad), "all bad entries are parked")
                await until(lambda: unfinished(client) == 0, "all others are handled")

        asyncio.run(consume())
        reasons = _told(parked(client), planted)
    assert reasons.keys() == bad.keys()
    for name, reason in reasons.items():
        assert reason.startswith(bad[name]), name
        assert len(reason) <= 500
        assert reason.isprintable()
