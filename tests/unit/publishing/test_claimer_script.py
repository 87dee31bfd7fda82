"""The claimer on the road of the script: what it publishes, and what it claims of the rest."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.publishing.claimer import ClaimResult
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry.logs import configure_logs
from tests.support.claiming import IDLE, TIMEOUT, ClaimingShard, ScriptedStore, routes
from tests.support.telemetry import logging_restored


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """Log from `info` on, as a worker does, into memory."""
    with logging_restored():
        stream = io.StringIO()
        configure_logs("info", "json", stream)
        yield stream


def test_publish__that_leaves_nothing_claims_nothing() -> None:
    """The routes are reported, and the next pass follows at once."""
    store = ScriptedStore(routes(128))
    shard = ClaimingShard(store)
    shard.state.claim_again_in(60)
    assert shard.claim() == ClaimResult(None, "push", published=128)
    assert store.calls == [("publish", "push", 128), ("confirm", "", 0)]
    assert shard.telemetry.published == 128
    assert shard.state.claim_at == 0
    assert shard.state.batches_settled == 1


@pytest.mark.parametrize("published", [0, 100])
def test_publish__has_what_it_leaves_claimed_in_the_same_pass(published: int) -> None:
    """With that many members as the limit: so it never blocks the head of the schedule."""
    store = ScriptedStore(routes(published, left=28))
    shard = ClaimingShard(store)
    result = shard.claim()
    # An idle pass waits for nothing: only what was published has to be safe.
    confirm = [("confirm", "", 0)] if published else []
    assert store.calls == [("publish", "push", 128), *confirm, ("claim", "push", 28)]
    assert result.batch is not None
    assert len(result.batch.claim.members) == 28
    assert (result.channel, result.published) == ("push", published)
    assert shard.state.batches_settled == bool(published)


def test_publish__of_which_another_took_the_rest_goes_on() -> None:
    """Whatever it published is the result; without any, the next channel is asked."""
    store = ScriptedStore(routes(3, left=5), routes(0, left=5), routes(2), due=0)
    shard = ClaimingShard(store, channels=["push", "bulk"])
    assert shard.claim() == ClaimResult(None, "push", published=3)
    assert shard.claim() == ClaimResult(None, "push", published=2)
    asked = [(name, channel) for name, channel, _ in store.calls if channel]
    assert asked == [
        *(("publish", "push"), ("claim", "push"), ("publish", "bulk"), ("claim", "bulk")),
        ("publish", "push"),
    ]


def test_publish__without_a_reply_is_sent_again() -> None:
    """No lease may be held after it; a timeout halves the next call, and success doubles it."""
    store = ScriptedStore(TIMEOUT, routes(64), routes(64), IDLE)
    shard = ClaimingShard(store)
    with pytest.raises(RedisFault):
        shard.claim()
    assert not shard.claimer.has_unanswered_claim(0)
    asyncio.run(shard.claimer.on_error(TIMEOUT))
    for _ in range(3):
        shard.claim()
    assert [members for name, _, members in store.calls if name == "publish"] == [128, 64, 128, 128]
    assert shard.telemetry.published == 128


def test_publish__that_is_not_safe_claims_nothing() -> None:
    """The pass fails; what was published is counted, for the totals in Redis have it as well."""
    store = ScriptedStore(routes(3, left=5))
    store.confirm_fault = RedisFault(Fault("unconfirmed", Remedy.RESOLVE, "0 of 1"))
    shard = ClaimingShard(store)
    with pytest.raises(RedisFault, match="unconfirmed"):
        shard.claim()
    assert [name for name, _, _ in store.calls] == ["publish", "confirm"]
    assert shard.telemetry.published == 3
    assert not shard.claimer.has_unanswered_claim(0)


def test_publish__of_a_backlog_lets_another_slot_call_at_once() -> None:
    """After a full batch, the next call is ready before this one has its reply."""
    store = ScriptedStore(routes(100, left=28), routes(3), routes(1))
    shard = ClaimingShard(store)
    store.claim_at = lambda: shard.state.claim_at
    for _ in range(3):
        shard.state.claim_again_in(60)
        shard.claim()
    assert [at == 0 for at in store.claims_at] == [False, True, False]


def test_publish__while_stopping_claims_nothing() -> None:
    """What it leaves is for another worker."""
    store = ScriptedStore(routes(3, left=5))
    shard = ClaimingShard(store)
    shard.state.stopping = True
    assert shard.claim() == ClaimResult(None, "push", published=3)
    assert "claim" not in [name for name, _, _ in store.calls]


def test_publish__that_leaves_some_does_not_grow_the_batch() -> None:
    """After a timeout the claim of the rest decides about that."""
    store = ScriptedStore(TIMEOUT, routes(10, left=5), routes(10), IDLE)
    shard = ClaimingShard(store)
    with pytest.raises(RedisFault):
        shard.claim()
    asyncio.run(shard.claimer.on_error(TIMEOUT))
    for _ in range(3):
        shard.claim()
    assert [members for name, _, members in store.calls if name == "publish"] == [128, 64, 64, 128]


def test_publish__is_reported_where_the_claim_behind_it_fails() -> None:
    """The claim without reply comes first then, under its token and without another publish."""
    store = ScriptedStore(routes(3, left=5), routes(1))
    store.claim_fault = TIMEOUT
    shard = ClaimingShard(store)
    with pytest.raises(RedisFault):
        shard.claim()
    assert shard.telemetry.published == 3
    assert shard.claimer.has_unanswered_claim(0)
    batch = shard.claim().batch
    assert batch is not None
    assert batch.claim.asked_again
    assert store.tokens[0] == store.tokens[1]
    assert [name for name, _, _ in store.calls] == ["publish", "confirm", "claim", "claim"]


def test_publish__is_not_for_a_log_of_each_route() -> None:
    """At debug level each route has a line, so it takes a lease."""
    configure_logs("debug", "json", io.StringIO())
    store = ScriptedStore()
    assert ClaimingShard(store).claim().published == 0
    assert store.calls == [("claim", "push", 128)]


@pytest.mark.parametrize(
    "settings",
    [{"worker": {"publish": "leased"}}, {"gateway": {"encoder": "json"}}],
    ids=["leased", "json"],
)
def test_publish__is_not_for_other_settings(settings: dict[str, Any]) -> None:
    """Leases only, or an encoder that is not the default one."""
    assert not Policy.from_settings(settings_from(settings), "w").by_script
    assert Policy.from_settings(settings_from({}), "w").by_script


def test_reload__changes_the_road() -> None:
    """From the next pass on, in both directions."""
    store = ScriptedStore(routes(1), routes(1), routes(1))
    shard = ClaimingShard(store)
    for publish in ("script", "leased", "script"):
        settings = settings_from({"worker": {"publish": publish}})
        policy = Policy.from_settings(settings, "host-1-abcd")
        shard.state.publisher.reload(settings, policy)
        shard.claim()
    names = [name for name, _, _ in store.calls if name != "confirm"]
    assert names == ["publish", "claim", "publish"]
