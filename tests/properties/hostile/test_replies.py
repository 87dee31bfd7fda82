"""Arbitrary replies of Redis: an answer to each item, or a fault after which one tries again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.plan import plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.leases import ClaimLimits, Correction
from galaxy_notify.redis_state.settlement import Release, Settlement
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.redis_state.store import Store
from tests.properties.hostile.planting import DUE_MS, KEYS

_REPLIES = st.recursive(
    st.none() | st.integers() | st.floats() | st.binary(max_size=9) | st.sampled_from(
        [b"claimed", b"idle", b"held", b"paused", b"published", b"accepted", b"1", b""]
    ),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.binary(max_size=3), inner),
    max_leaves=20,
)  # fmt: skip
_CLAIM = st.tuples(
    st.sampled_from([b"claimed", b"idle", b"held"]), *(_REPLIES,) * 3, *(st.lists(_REPLIES),) * 3
)


class _Garbled:
    """A client, its pool and its connection in one; every script answers the same."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply
        self.connection_pool = self

    async def get_connection(self) -> Any:
        return self

    async def send_packed_command(self, _: Any) -> None:
        pass

    async def read_response(self) -> Any:
        return self._reply

    async def release(self, _: Any) -> None:
        pass


@given(_REPLIES | _CLAIM.map(list) | st.lists(_REPLIES))
def test_reply__of_any_shape(reply: Any) -> None:
    """Any reply of a script is an answer to each item, or a fault after which one tries again."""
    client: Any = _Garbled(reply)
    store = Store(client, KEYS, lambda *_: None)
    settlement = Settlement()
    settlement.add(Release(b"a"))
    limits = ClaimLimits(1, 1, 1, 1, 1)

    async def ask() -> None:
        with suppress(RedisFault):
            claim = await store.claim("push", "token", limits)
            assert all(type(member.state) is bytes for member in claim.members)
        with suppress(RedisFault):
            assert len((await store.settle("push", "token", settlement)).answers) == 1
        with suppress(RedisFault):
            assert (
                len(await store.reposition("push", "token", [Correction(b"a", "dead:push", 1)]))
                == 1
            )

    asyncio.run(ask())


@given(_REPLIES | st.lists(_REPLIES))
def test_accept__bears_any_reply(reply: Any) -> None:
    """Whatever accept is answered, the outcome of each intent is known, if only as unknown."""
    assert len(_receipts(reply)) == 3


@pytest.mark.parametrize("word", [b"accepteD", b"", b"ok", b"conflict ", b"faultt", b"\xff"])
def test_accept__takes_no_other_word_for_a_receipt(word: bytes) -> None:
    """One garbled word may have been a conflict or a fault, and says nothing of its neighbours."""
    assert {type(one) for one in _receipts([b"accepted", b"1"] * 3)} == {Receipt}
    receipts = _receipts([b"accepted", b"1", word, b"", b"duplicate", b""])
    assert {type(one) for one in receipts} == {Unknown}


def _receipts(reply: Any) -> list[Receipt | Unknown]:
    intents = [Intent(type="t", producer="p", recipients=["u"]) for _ in range(3)]
    key_space = KeySpace("gn", SharedSettings())
    plans = [plan(intent, SharedSettings(), DUE_MS, "") for intent in intents]
    flow = accept_flow(key_space, plans, preferences_exist=False)
    next(flow)
    try:
        flow.send([reply])
    except StopIteration as end:
        receipts: list[Receipt | Unknown] = end.value.receipts
    return receipts
