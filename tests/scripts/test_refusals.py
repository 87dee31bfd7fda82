"""Every script × every state that it must refuse: a word, and not a byte written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_notify.model.route import initial_state
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.leases import Correction
from tests.scripts.support.outcomes import OUTCOMES, outcome
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import Shard, new
from tests.scripts.support.snapshot import snapshot

_STALE_READ = b"1p" + b"1" * 26 + initial_state(None)[28:]


def _heal(shard: Shard, member: str) -> list[str]:
    return shard.reposition(Correction(member.encode(), "dead:push", shard.now))


def _cancel(shard: Shard, member: str) -> list[str]:
    return shard.cancel(member, before=_STALE_READ)[1:]


def _lapse(shard: Shard, member: str) -> list[str]:
    return [str(shard.run(calls.lease_shorten(shard.keys, "push")))]


@pytest.mark.parametrize("word", OUTCOMES)
@pytest.mark.parametrize("state", SEEDS)
def test_settle__without_the_lease_is_stale(state: str, word: str, shard: Shard) -> None:
    """Whoever does not hold the lease changes nothing, whatever became of the route."""
    member = SEEDS[state](shard, 1)
    settlement = outcome(shard, word, member)
    before = snapshot(shard)
    assert shard.words(settlement) == ["stale"]
    assert snapshot(shard) == before


@pytest.mark.parametrize(
    ("refuse", "word"),
    [(_heal, "stale"), (_cancel, "changed"), (_lapse, "0")],
    ids=["reposition", "cancel", "shorten"],
)
@pytest.mark.parametrize("state", SEEDS)
def test_script__refuses_what_is_not_as_it_was(
    state: str, refuse: Callable[[Shard, str], list[str]], word: str, shard: Shard
) -> None:
    """A lost lease, another state, a lease that lasts: nothing is written."""
    member = SEEDS[state](shard, 1)
    before = snapshot(shard)
    assert refuse(shard, member) == [word]
    assert snapshot(shard) == before


@pytest.mark.parametrize(("digest", "word"), [(None, "duplicate"), (b"another!", "conflict")])
@pytest.mark.parametrize("state", sorted(set(SEEDS) - {"vanished"}))
def test_accept__of_a_known_id_changes_nothing(
    state: str, digest: bytes | None, word: str, shard: Shard
) -> None:
    """The same id is the same notification for ever, or a conflict, whatever became of it."""
    SEEDS[state](shard, 1)
    item = new(1)
    if digest is not None:
        item = item._replace(record=item.record[:1] + digest + item.record[9:])
    before = snapshot(shard)
    assert [answer.word for answer in shard.answers(item)] == [word]
    assert snapshot(shard) == before


@pytest.mark.parametrize("state", sorted(set(SEEDS) - {"pending", "lapsed", "replayed"}))
def test_claim__takes_only_what_is_due(state: str, shard: Shard) -> None:
    """What is final, dead, leased or due later is not taken."""
    SEEDS[state](shard, 1)
    before = snapshot(shard)
    assert shard.claim().word == "idle"
    assert snapshot(shard) == before
