"""Where places find routes: who claims when, and what is known after which answer."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from galaxy_notify.channels.rate import Rate
from galaxy_notify.channels.sources import Sources
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.leases import Claim
from galaxy_notify.redis_state.rate import Taken
from tests.support.scripted_shard import AWAY, FOUND, IDLE, scripted_shard, source_at
from tests.support.wait import until

LONG_S = 1000.0


def _is_soon(at: float) -> bool:
    return at <= monotonic()


def _is_late(at: float) -> bool:
    return at > monotonic() + LONG_S


def test_claim__that_found_one_lets_all_claim_side_by_side() -> None:
    """Until one finds nothing: then the poll interval passes, or the next route becomes due."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        store.answers = [FOUND, IDLE, Claim("idle", "t", 1000, next_due_ms=1500)]
        source.begin()
        assert _is_late(source.due_at)
        assert await source.claim(0)
        assert source.flows
        source.begin()
        assert _is_soon(source.due_at)
        assert await source.claim(1) is None
        assert _is_late(source.due_at)
        await source.claim(1)
        assert not _is_late(source.due_at)

    asyncio.run(scenario())


def test_claim__of_a_suspect_is_made_alone_and_by_turns() -> None:
    """A claim that saw suspects is followed by one for them, and that by a usual one."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        store.answers = [Claim("idle", "t", 1, suspects=2), FOUND, IDLE]
        for _ in range(3):
            await source.claim(0)
        assert [alone for _, alone in store.made("claim")] == [False, True, False]

    asyncio.run(scenario())


def test_claim__without_reply_is_repeated_with_its_token() -> None:
    """The lease began with the first request; the repeat shows that Redis is back at once."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        store.answers = [AWAY, FOUND]
        before = monotonic()
        with pytest.raises(RedisFault):
            await source.claim(0)
        sent = monotonic()
        await shard.failed(AWAY)
        assert _is_soon(source.claim_at)
        shard.attempt()
        held = await source.claim(1)
        assert held
        assert before <= held.since <= sent
        first, second = store.made("claim")
        assert first == second
        assert shard.retry_at == 0, "it waits although Redis has answered"

    asyncio.run(scenario())


def test_claim__that_was_refused_is_made_new() -> None:
    """Where Redis refused it there is no lease to ask for; it is tried as soon as it may be."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        store.answers = [RedisFault(Fault("OOM", Remedy.RETRY, "full")), FOUND]
        source.begin()
        with pytest.raises(RedisFault):
            await source.claim(0)
        assert _is_soon(source.due_at)
        await source.claim(0)
        first, second = store.made("claim")
        assert first != second

    asyncio.run(scenario())


def test_wake_up__beside_a_claim_is_not_lost() -> None:
    """A route was accepted after Redis had answered a claim, and before that answer was read."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        reply: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        store.answers = [reply, IDLE]
        source.begin()
        claiming = asyncio.create_task(source.claim(0))
        await until(lambda: store.calls, "it claims")
        source.claim_in(0.0)
        reply.set_result(IDLE)
        assert await claiming is None
        assert _is_soon(source.due_at)
        await source.claim(0)
        assert _is_late(source.due_at)

    asyncio.run(scenario())


def test_answers__out_of_order_do_not_hide_routes() -> None:
    """An earlier claim's answer that there is nothing comes after a later one that found one."""

    async def scenario() -> None:
        shard, store = scripted_shard()
        source = source_at(shard)
        reply: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        store.answers = [reply, FOUND]
        early = asyncio.create_task(source.claim(0))
        await until(lambda: store.calls, "it claims")
        assert await source.claim(1)
        reply.set_result(IDLE)
        await early
        assert source.flows
        assert _is_soon(source.due_at)

    asyncio.run(scenario())


def test_next__gives_the_sources_their_turns() -> None:
    """Shards with routes take turns; a stop ends every place."""

    async def scenario() -> None:
        found = [source_at(scripted_shard()[0]) for _ in range(2)]
        for source in found:
            source.flows = True
        sources = Sources(found)
        turns = [await sources.next() for _ in range(4)]
        assert turns == [*found, *found]
        for source in found:
            source.flows = False
            source.claim_at = monotonic() + LONG_S
        waiting = [asyncio.create_task(sources.next()) for _ in range(3)]
        await until(lambda: sources.rests, "one waits, the others behind it")
        sources.stop()
        assert await asyncio.gather(*waiting) == [None] * 3
        assert sources.is_stopping

    asyncio.run(scenario())


def test_next__waits_where_there_is_no_rate_left() -> None:
    """The rate's pause passes; what a claim did not use is used by the next one."""

    async def scenario() -> None:
        answers = [Taken(1, 0), Taken(0, 1), Taken(1, 0)]

        async def take(**_: int) -> Taken:
            return answers.pop(0)

        source = source_at(scripted_shard()[0])
        source.flows = True
        sources = Sources([source], Rate(1, take))
        assert await sources.next() is source
        sources.unused()
        assert await sources.next() is source
        assert len(answers) == 2
        assert await sources.next() is source
        assert answers == []

    asyncio.run(scenario())


def test_next__outlives_a_fault_of_the_rate() -> None:
    """Redis is away: it is asked again when that may help, and then the place goes on."""

    async def scenario() -> None:
        shard, _ = scripted_shard()
        answers: list[Taken | RedisFault] = [AWAY, Taken(1, 0)]

        async def take(**_: int) -> Taken:
            answer = answers.pop(0)
            if isinstance(answer, RedisFault):
                raise answer
            return answer

        source = source_at(shard)
        source.flows = True
        sources = Sources([source], Rate(1, take))
        assert await sources.next() is source
        assert answers == []
        assert shard.retry_at == 0

    asyncio.run(scenario())


def test_next__that_is_stopped_while_it_asks_for_the_rate_claims_nothing() -> None:
    """A stop comes while Redis is asked for a send: nothing is claimed any more."""

    async def scenario() -> None:
        source = source_at(scripted_shard()[0])
        source.flows = True

        async def take(**_: int) -> Taken:
            sources.stop()
            return Taken(1, 0)

        sources = Sources([source], Rate(1, take))
        assert await sources.next() is None

    asyncio.run(scenario())
