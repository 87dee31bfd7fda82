"""What a producer's round trip keeps when it is tried again, and what goes to which node."""

from __future__ import annotations

import pytest
from redis import exceptions

from galaxy_notify.redis_client.access import open_sync
from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.faults import RedisFault, fault_of
from galaxy_notify.redis_client.following import Primary, TopologyClient
from galaxy_notify.redis_client.nodes import NodesClient, by_node
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.topology import Address, ClusterTopology
from galaxy_notify.redis_client.tries import RetryState
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import settings_from

CALLS = [Command(["GET", f"{{gn:{shard}}}:x"]) for shard in range(12)]
REFUSED = fault_of(exceptions.ConnectionError("refused"))
UNREADABLE = fault_of(exceptions.InvalidResponse("what came is no reply"))
TIMEOUT = fault_of(exceptions.TimeoutError("slow"))


def test_tries__what_was_answered_stands() -> None:
    """Only what a node could not serve is sent again; its last fault joins the other replies."""
    tries = RetryState(CALLS[:3])
    tries.answered([b"0", REFUSED, b"2"])
    assert list(tries.left) == [CALLS[1]]
    tries.failed(REFUSED, 0.1)
    assert list(tries.left) == [CALLS[1]]
    tries.failed(TIMEOUT, 0.1)
    assert (list(tries.left), tries.outcome()) == ([], [b"0", TIMEOUT.with_unknown_outcome(), b"2"])


def test_tries__a_fault_that_is_all_there_is_is_raised() -> None:
    """Unless it may pass, and there is time for another try."""
    tries = RetryState(CALLS[:2])
    tries.failed(REFUSED, 0.1)
    assert list(tries.left) == CALLS[:2]
    for error, pause in ((REFUSED, None), (TIMEOUT, 0.1)):
        tries.failed(error, pause)
        assert not tries.left
        with pytest.raises(RedisFault) as raised:
            tries.outcome()
        assert raised.value == error.with_unknown_outcome()


def test_tries__a_refusal_after_a_lost_answer_is_in_doubt() -> None:
    """The try whose answer was lost may have written, one that was refused did not."""
    full = fault_of(exceptions.OutOfMemoryError("OOM command not allowed"))
    for before, wrote_nothing in ((REFUSED, False), (full, True)):
        tries = RetryState(CALLS[:1])
        tries.failed(before, 0.1)
        tries.answered([full])
        assert tries.outcome()[0].wrote_nothing is wrote_nothing


def test_tries__tell_of_doubts() -> None:
    """After a replica's answer, or one that can't be read, connections are not used again."""
    replica = fault_of(exceptions.ReadOnlyError("READONLY You can't write"))
    for error, in_doubt in ((REFUSED, False), (replica, True), (UNREADABLE, True)):
        tries = RetryState(CALLS[:1])
        tries.answered([error])
        assert tries.must_refresh_primary is in_doubt
        tries = RetryState(CALLS[:1])
        tries.failed(error, None)
        assert tries.must_refresh_primary is in_doubt


def test_open__a_sentinel_may_have_an_ipv6_address() -> None:
    """It is written in brackets, as in a URL."""
    settings = settings_from({"redis": {"url": "redis://x", "sentinels": ["[::1]:26379"]}})
    client = open_sync(settings)
    assert isinstance(client, NodesClient)
    assert next(client.topology_client.topology.asking()) == Address("::1", 26379)


def test_by_node__shards_of_one_node_share_a_round_trip() -> None:
    """A node that hangs is waited for once, however many shards it serves."""
    topology = ClusterTopology([Address("a", 1)])
    asking = topology.asking()
    next(asking)
    with pytest.raises(StopIteration):
        asking.send([[0, 8191, ["a", 1]], [8192, 16383, ["b", 2]]])
    topology_client = TopologyClient(topology, lambda _: sync_client("redis://unused"))
    client = NodesClient(
        topology_client,
        Keys("gn", 0).tag,
        lambda slot: sync_client("redis://unused", primary=Primary(topology_client, slot)),
    )
    parts = by_node(client, CALLS)
    assert len(parts) == 2
    assert sorted(place for part in parts for place in part.places) == list(range(12))
    assert all(part.calls == [CALLS[place] for place in part.places] for part in parts)
