"""What is heavy is planned in a thread, one after the other; what is light at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake import plan as plan_module
from galaxy_notify.intake.plan import Plan, Request, request_of
from galaxy_notify.intake.planner import Planner, is_heavy
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake_stream import batch as intent_batch
from galaxy_notify.intake_stream.batch import read_batch
from galaxy_notify.model.ids import random_id
from galaxy_notify.model.intent import Intent, routes_of
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import settings_from


class _Kind(Intent):
    """An intent of a program's own class."""


LIGHT: dict[str, Any] = {"type": "t", "producer": "p", "recipients": ["u1"]}
DEEP: Any = [[[[]]]] * 5000


@pytest.mark.parametrize(
    ("values", "heavy"),
    [
        ([LIGHT] * 10, False),
        ([LIGHT] * 1000, True),
        ([LIGHT | {"data": {"x": DEEP}}], True),
        ([LIGHT | {"data": {"x": "y" * 100_000}}], False),
        ([LIGHT | {"body": "y" * 1_000_000}], True),
        ([LIGHT | {"recipients": [f"u{n}" for n in range(5000)]}], True),
        ([Intent(**LIGHT)], False),
        ([Intent(**LIGHT | {"data": {"x": DEEP}})], True),
        ([_Kind(**LIGHT | {"data": {"x": DEEP}})], True),
        ([None, 7, object()], False),
    ],
)
def test_heavy__is_what_takes_long(values: list[object], heavy: bool) -> None:
    """Many values, much text and many intents are heavy, as fields or as an intent."""
    assert is_heavy(values) is heavy


def test_request__is_repeated_under_the_id_that_its_plan_has() -> None:
    """A key names the notification, whatever id is given beside it."""
    deployment = SharedSettings.from_settings(settings_from({}))
    for fields in (LIGHT, LIGHT | {"idempotency_key": "k"}):
        for given in (None, random_id(7)):
            request = request_of(fields, given, 7)
            assert isinstance(request, Request)
            planned = request.plan(deployment)
            assert isinstance(planned, Plan)
            assert planned.notification_id == request.repeat_id
            assert given in (None, request.repeat_id) or "idempotency_key" in fields


def test_plans__of_what_is_heavy_are_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's own thread plans what is light only."""
    threads: list[threading.Thread] = []

    def planned(*_: object) -> Receipt:
        threads.append(threading.current_thread())
        return Receipt(None, "refused")

    monkeypatch.setattr(plan_module, "_plan_or_refusal", planned)
    deployment = SharedSettings.from_settings(settings_from({}))

    async def run(values: list[Any]) -> None:
        list(await Planner().plans_of(values, deployment, 0))

    asyncio.run(run([LIGHT]))
    asyncio.run(run([LIGHT | {"data": {"x": DEEP}}]))
    assert [one is threading.main_thread() for one in threads] == [True, False]


def test_planner__works_in_one_loop_after_another() -> None:
    """What had to wait for its turn in one event loop keeps no other loop out."""
    planner = Planner()

    async def some() -> list[int]:
        return await asyncio.gather(*(planner.run(lambda: 1) for _ in range(3)))

    assert [asyncio.run(some()), asyncio.run(some())] == [[1, 1, 1]] * 2


def test_entries__of_many_bytes_are_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of the intent stream that takes long to parse is parsed in a thread."""
    threads: list[threading.Thread] = []

    class Watched(intent_batch.EntryBatch):
        def __init__(self, *given: Any) -> None:
            threads.append(threading.current_thread())
            super().__init__(*given)

    monkeypatch.setattr(intent_batch, "EntryBatch", Watched)
    for size in (10, 100_000):
        entry = Entry("1-1", {b"intent": b"[" + b"1," * size + b"1]"}, 1)
        asyncio.run(read_batch([entry], 1 << 20))
    assert [one is threading.main_thread() for one in threads] == [True, False]


def test_size__is_checked_before_what_is_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload over the limit is neither sorted nor digested."""
    monkeypatch.setattr(plan_module, "canonical_content", lambda *_: pytest.fail("it was sorted"))
    deployment = SharedSettings.from_settings(settings_from({}))
    intent = Intent(**LIGHT | {"data": {"x": [1] * 300_000}})
    with pytest.raises(InvalidIntent) as raised:
        plan_module.plan(intent, deployment, 10**12, "")
    assert raised.value.code == "too_large"


def test_routes__of_a_large_fan_out_are_in_order() -> None:
    """Sorted in pieces they are as if they were sorted at once."""
    users = [f"u{number}" for number in range(40_000)]
    intent = Intent(**LIGHT | {"recipients": users, "channels": ["push", "email"]})
    wanted = sorted(f"{channel}:{user}" for channel in ("push", "email") for user in users)
    assert routes_of(intent) == wanted


def test_unknown_fields__are_not_collected() -> None:
    """Of a thousand unknown fields the first one is told."""
    with pytest.raises(InvalidIntent, match="unknown field") as raised:
        Intent.parse(LIGHT | {f"x{number}": 1 for number in range(1000)})
    assert raised.value.field == "x0"
