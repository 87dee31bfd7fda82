"""Whatever is accepted at the same time, the outcome is that of one call for each intent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_notify.intake import shared_calls
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import random_id
from galaxy_notify.redis_client.access import Environment
from tests.support.deployment import DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.wait import HANG_S

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
_LATER = 4_000_000_000_000
#: The times of the server in a state; those of the record are the notifier's.
_TIME = re.compile(rb"[0-9]{13}")
_USERS = [f"u{number}" for number in range(6)]
_DEPLOYMENT = {
    "worker__channels": ["push", "email"],
    "worker__shards": 2,
    "limits__max_routes": 20,
    "limits__max_payload_bytes": 1024,
}


class _StoppedClock(Environment):
    """The real connections, at a time that stands still."""

    def now_ms(self) -> int:
        return 1_900_000_000_000


_INTENTS = st.fixed_dictionaries(
    {"recipients": st.lists(st.sampled_from(_USERS), max_size=3)},
    optional={
        # Few keys, so that some are repeated and some are in conflict.
        "key": st.sampled_from("abcd"),
        "channels": st.sampled_from([["push"], ["email"], ["push", "email"], ["sms"]]),
        "title": st.sampled_from(["", "T"]),
        "body": st.sampled_from(["", "x" * 2000]),
        "due_at": st.just(_LATER),
        "collapse_key": st.just("c"),
        "many": st.booleans(),
        "unknown": st.just(1),
    },
)


def _intent(fields: Mapping[str, Any], example: int, place: int, *, ruled: bool) -> dict[str, Any]:
    """Return an intent whose keys are of this example.

    What takes several round trips has a key of its own: two of those race each other, as ever. That
    is each intent where there are preferences (*ruled*).
    """
    made = {**PLAIN, **fields}
    key, many = made.pop("key", None), made.pop("many", False)
    if many:
        made["recipients"] = [f"{user}-{n}" for user in fields["recipients"] for n in range(20)]
    if "collapse_key" in made:
        made["collapse_key"] = f"{example}-{place}"
    own = f"-{place}" if ruled or many or "collapse_key" in made else ""
    return made if key is None else {**made, "idempotency_key": f"{example}-{key}{own}"}


async def _at_once(
    notifier: AsyncNotifier, intents: Sequence[Any], names: Sequence[str]
) -> list[Receipt]:
    one_by_one = zip(intents, names, strict=True)
    return await asyncio.gather(*(notifier.accept(i, notification_id=n) for i, n in one_by_one))


def _stored(deployment: DeploymentFixture, receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Return all that is stored of these: their records, states and places in the schedules."""
    found: dict[str, Any] = {"totals": deployment.totals()}
    due = {channel: deployment.due(channel) for channel in ("push", "email")}
    for receipt in receipts:
        for part in range(1, receipt.parts + 1):
            name = f"{receipt.notification_id}{f'.{part}' if part > 1 else ''}"
            key = deployment.key_space.keys_for(name).notification(name)
            fields: Any = deployment.client.hgetall(key)
            found[name] = {
                field: value if field == b"record" else _TIME.sub(b"T", value)
                for field, value in fields.items()
            }
            found[f"schedule of {name}"] = {
                (channel, member)
                for channel, members in due.items()
                for member in members
                if member.startswith(f"{name}/")
            }
    return found


def _assert_alike(server: Server, examples: int, most: int, *, silence: bool) -> None:
    numbers = count()
    two = [
        DeploymentFixture(server.url, redis__prefix=prefix, **_DEPLOYMENT)
        for prefix in ("alone", "together")
    ]
    with closing(two[0]) as alone, closing(two[1]) as together, asyncio.Runner() as runner:
        if silence:
            for deployment in two:
                deployment.notifier.preferences.silence("u3")

        @settings(max_examples=examples, suppress_health_check=_SLOW, deadline=None)
        @given(st.lists(_INTENTS, min_size=1, max_size=most))
        def alike(drawn: list[dict[str, Any]]) -> None:
            example = next(numbers)
            intents = [
                _intent(fields, example, place, ruled=silence) for place, fields in enumerate(drawn)
            ]
            names = [random_id(_StoppedClock().now_ms()) for _ in intents]
            # Both are new, so that neither knows of preferences yet.
            with Notifier(alone.settings, environment=_StoppedClock()) as notifier:
                single = [
                    notifier.accept(one, notification_id=name)
                    for one, name in zip(intents, names, strict=True)
                ]
            shared = AsyncNotifier(together.settings, environment=_StoppedClock())
            at_once = runner.run(_at_once(shared, intents, names))
            runner.run(shared.close())
            assert at_once == single
            assert _stored(together, at_once) == _stored(alone, single)

        alike()
        together.assert_sound()


@pytest.mark.parametrize("silence", [False, True])
def test_accept__at_the_same_time_leaves_what_single_calls_leave(
    silence: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts, records, states, schedules and totals are the same, intent by intent."""
    # Calls leave one after the other: which of two with the same key is first is decided.
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)
    _assert_alike(server, 40, 30, silence=silence)


@pytest.mark.extended
@pytest.mark.parametrize("silence", [False, True])
def test_accept__of_many_leaves_what_single_calls_leave(
    silence: bool, any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of many more, on each server."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)
    _assert_alike(any_server, 400, 60, silence=silence)
