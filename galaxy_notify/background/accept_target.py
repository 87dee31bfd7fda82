"""Intents as what a background notifier sends: accepted over a connection of its own.

A batch is sent in one round trip, and planned in small steps beside busy threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from galaxy_notify.background.packed_intent import Kind, id_of, pack, unpack
from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.plan import Plan, plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

# A computing thread keeps the interpreter for 5 ms, and callers of `enqueue` would wait for that
# time. After each of these steps, in seconds, they can run.
_STEP_S: Final = 0.000_25
_PAUSE_S: Final = 0.000_001


class AcceptTarget:
    """Accepts intents over its own connection, without retries: a `Target`."""

    kind: Kind = "intent"

    def __init__(self, settings: Settings, *, adopt: bool) -> None:
        """Prepare to connect by *settings*; nothing is sent before the first `send`."""
        self._client = SyncClient(settings, adopt=adopt, pauses_s=())

    def pack(self, item: object) -> bytes:
        """Return an intent as it is now, packed; raise `InvalidIntent`."""
        return pack(Intent.parse(item))

    def fields(self, packed: bytes) -> Mapping[str, Any]:
        """Return the fields of a packed intent; raise `InvalidIntent`."""
        return unpack(packed).fields

    def send(self, packed: Sequence[bytes]) -> list[Receipt | Unknown]:
        """Return the receipt of each intent, in order; raise `RedisFault` if none was sent.

        Raises `ConfigurationError` if the deployment does not match the settings.
        """
        client = self._client
        key_space, known = client.key_space(), client.preferences_exist
        plans = _plans(packed, key_space.shared)
        done = client.run_flow(accept_flow(key_space, plans, preferences_exist=known))
        client.preferences_exist |= done.preferences_exist
        return done.receipts

    def recover(self) -> None:
        """Find the primary again before the next attempt."""
        self._client.refresh_primary()

    def outages(self) -> EdgeLog:
        """Return what logs that Redis is away."""
        return EdgeLog(get_logger("background"))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _plans(packed_intents: Iterable[bytes], shared: SharedSettings) -> Iterator[Plan | Receipt]:
    """Plan packed intents one by one, and let other threads run in between."""
    began = time.perf_counter()
    for packed in packed_intents:
        yield _plan(packed, shared)
        if time.perf_counter() - began > _STEP_S:
            time.sleep(_PAUSE_S)
            began = time.perf_counter()


def _plan(packed: bytes, shared: SharedSettings) -> Plan | Receipt:
    """Return the plan of a packed intent, as of the time of its submission."""
    try:
        notification_id, at_ms, traceparent, fields = unpack(packed)
        planned = plan(Intent.parse(fields), shared, at_ms, traceparent, notification_id)
    except InvalidIntent as error:
        return refused(error, id_of(packed))
    # An earlier process or attempt may have sent it already.
    return planned._replace(is_resent=True)
