"""What doctor says of replicas, sentinels and slots, from plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from galaxy_notify.operations.finding import Finding
from galaxy_notify.operations.node_checks import node_findings
from galaxy_notify.operations.replication_checks import (
    cluster_findings,
    replication_findings,
    sentinel_findings,
    together_findings,
)
from galaxy_notify.redis_client.faults import Fault, Remedy
from galaxy_notify.redis_inspect.node_report import NodeReport, Slow
from galaxy_notify.redis_inspect.servers import ServerName

SOUND = {"state": "online", "lag": "0"}
BEHIND = {"state": "online", "lag": "45"}
JOINING = {"state": "wait_bgsave", "lag": "0"}

INFO = {
    "maxmemory_policy": "noeviction",
    "maxmemory": "1000",
    "used_memory": "10",
    "aof_enabled": "1",
    "connected_clients": "3",
    "maxclients": "10000",
}
PRIMARY = NodeReport(
    server=ServerName("redis", "7.0.15", "master"),
    trip_ms=0.2,
    offset_ms=0.0,
    info=INFO,
    replicas=[],
    config={"appendfsync": "everysec", "min-replicas-to-write": "0"},
    scripts=18,
    slow=[],
    spikes=[],
    cluster=None,
    slots=None,
    unseen=(),
)


def told(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return level and check of each finding; each one that is not ok has its parts."""
    found = list(findings)
    for finding in found:
        assert finding.level == "ok" or (finding.means and finding.todo)
    return [(finding.level, finding.check) for finding in found]


def graver(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return those that are not ok."""
    return [each for each in told(findings) if each[0] != "ok"]


@pytest.mark.parametrize(
    ("replicas", "least", "durability", "expected"),
    [
        ([], "0", "none", []),
        ([SOUND, SOUND], "2", "none", []),
        ([SOUND, SOUND], "0", "replicas:2", []),
        ([SOUND, SOUND], "1", "none", [("warning", "durability")]),
        ([SOUND, SOUND], "0", "replicas:1", [("warning", "durability")]),
        ([SOUND, BEHIND], "1", "none", [("warning", "replicas")]),
        ([JOINING], "0", "none", [("warning", "replicas")]),
        ([], "1", "none", [("error", "durability")]),
        ([BEHIND], "0", "replicas:1", [("warning", "replicas"), ("error", "durability")]),
    ],
)
def test_replicas__are_told_by_what_a_failover_costs(
    replicas: list[dict[str, str]],
    least: str,
    durability: str,
    expected: list[tuple[str, str]],
) -> None:
    """Replicas that lag are a warning, and so are writes that do not wait for all of them."""
    seen = replace(PRIMARY, replicas=replicas, config={"min-replicas-to-write": least})
    assert graver(replication_findings(seen, durability)) == expected


def test_replica__that_lost_its_primary_says_for_how_long() -> None:
    """Somebody who is sent to a replica learns whose it was."""
    link = {
        "master_link_status": "down",
        "master_link_down_since_seconds": "300",
        "master_host": "10.0.0.7",
        "master_port": "6379",
    }
    seen = replace(PRIMARY, server=ServerName("redis", "7.0.15", "replica"), info=link)
    (finding,) = replication_findings(seen, "none")
    assert (finding.level, finding.check) == ("error", "role")
    assert "10.0.0.7:6379 has been away for 5 min" in finding.what
    (finding,) = replication_findings(replace(seen, info=None), "none")
    assert finding.level == "error"


@pytest.mark.parametrize(
    ("state", "slots", "expected"),
    [
        ("ok", [range(8000), range(8000, 16384)], [("ok", "cluster")]),
        ("fail", [range(16384)], [("error", "cluster")]),
        ("ok", [range(8000)], [("error", "cluster")]),
        ("fail", [], [("error", "cluster")] * 2),
        ("ok", None, []),
    ],
)
def test_cluster__needs_all_its_slots(
    state: str, slots: list[range] | None, expected: list[tuple[str, str]]
) -> None:
    """A slot without an owner is an error, and so is a cluster that says that it fails."""
    assert told(cluster_findings({"cluster_state": state}, slots)) == expected


@pytest.mark.parametrize(
    ("flags", "others", "quorum", "expected"),
    [
        ("master", 2, 2, [("ok", "sentinels")]),
        ("master", 0, 1, [("warning", "sentinels")]),
        ("master", 2, 4, [("warning", "sentinels")]),
        ("master,s_down,o_down", 2, 2, [("error", "sentinels")]),
    ],
)
def test_sentinels__need_a_majority(
    flags: str, others: int, quorum: int, expected: list[tuple[str, str]]
) -> None:
    """Too few of them cannot fail over; a primary that is down is an error."""
    primary = {"flags": flags, "num-other-sentinels": str(others), "quorum": str(quorum)}
    assert told(sentinel_findings({"a:1": primary, "b:1": primary})) == expected
    assert told(sentinel_findings({})) == []


def test_sentinels__that_differ_or_say_nothing_are_named() -> None:
    """A silent one is a warning, two primaries are an error."""
    told_by = {"flags": "master", "num-other-sentinels": "2", "quorum": "2", "port": "1"}
    away = Fault("connection", Remedy.RETRY, "refused")
    findings = list(sentinel_findings({"a:1": away, "b:1": {**told_by, "ip": "h1"}}))
    assert told(findings) == [("warning", "sentinels"), ("ok", "sentinels")]
    assert "a:1 cannot be queried: refused" in findings[0].what
    split = sentinel_findings({"a:1": {**told_by, "ip": "h1"}, "b:1": {**told_by, "ip": "h2"}})
    assert [finding.what for finding in split if finding.level == "error"] == [
        "the sentinels name different primaries: h1:1, h2:1"
    ]


def test_nodes__are_compared() -> None:
    """Versions and clocks that differ are warnings."""
    assert told(together_findings([1.0, 3.0], ["7.0.15", "7.0.15"])) == []
    assert told(together_findings([], [])) == []
    differing = together_findings([-600.0, 700.0], ["7.0.15", "7.2.4"])
    assert told(differing) == [("warning", "version"), ("warning", "clock")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"used_memory": "850"}, [("warning", "memory")]),
        ({"used_memory": "1100"}, [("error", "memory")]),
        ({"maxmemory": "0", "total_system_memory": "12"}, [("warning", "memory")]),
        ({"connected_clients": "9000"}, [("warning", "clients")]),
        ({"maxmemory_policy": "volatile-ttl"}, [("error", "eviction")]),
        ({"aof_last_bgrewrite_status": "err"}, [("error", "persistence")]),
        ({"aof_enabled": "0"}, [("warning", "persistence")]),
    ],
)
def test_node__is_judged_by_info(changed: dict[str, str], expected: list[tuple[str, str]]) -> None:
    """Memory, clients, eviction and persistence have their bounds."""
    assert graver(node_findings(replace(PRIMARY, info=INFO | changed))) == expected


def test_node__that_tells_nothing_is_no_crash() -> None:
    """What may not be asked is named once, and the rest is judged."""
    silent = replace(PRIMARY, info=None, config={}, scripts=None, unseen=("INFO", "SLOWLOG GET"))
    found = [each for each in node_findings(silent) if each.level != "ok"]
    assert [each.check for each in found] == ["unseen"]
    assert found[0].level == "unknown"
    assert found[0].what == "not checked: no reply to INFO, SLOWLOG GET"
    assert found[0].todo == "as an administrator: `redis-cli INFO`, `redis-cli SLOWLOG GET`"


@pytest.mark.parametrize("field", ["maxmemory_policy", "used_memory", "aof_enabled"])
def test_node__whose_info_is_silent_is_unknown(field: str) -> None:
    """A field that INFO does not have is neither right nor wrong."""
    info = {name: value for name, value in INFO.items() if name != field}
    found = [each for each in node_findings(replace(PRIMARY, info=info)) if each.level != "ok"]
    assert [(each.level, field in each.what) for each in found] == [("unknown", True)]


def test_node__that_was_held_up_tells_by_what() -> None:
    """The slowest of the last hour is named; what is long past, or short, is not."""
    slow = [Slow("KEYS", 250.0, 60), Slow("SORT", 900.0, 7200), Slow("EVALSHA", 20.0, 1)]
    found = [one for one in node_findings(replace(PRIMARY, slow=slow)) if one.check == "slow"]
    assert [one.what for one in found] == ["KEYS took 250 ms, 1 min ago"]
    spikes = [Slow("fork", 400.0, 5)]
    found = [one for one in node_findings(replace(PRIMARY, spikes=spikes)) if one.check == "slow"]
    assert [one.what for one in found] == ["latency event fork: up to 400 ms"]


REPLICATING = replace(
    PRIMARY,
    replicas=[SOUND, SOUND],
    info=INFO | {"repl_backlog_size": "1048576", "instantaneous_output_repl_kbps": "200.00"},
)


def backlog(**info: str) -> list[Finding]:
    """Return what is found of the backlog of a primary with two replicas."""
    seen = replace(REPLICATING, info={**(REPLICATING.info or {}), **info})
    return [one for one in replication_findings(seen, "none") if one.check == "backlog"]


def test_backlog__is_shown_as_time() -> None:
    """Both replicas are sent 100 kB each second, of which a megabyte holds ten seconds."""
    (finding,) = backlog()
    assert (finding.level, finding.risk) == ("warning", "availability")
    assert finding.what == "repl-backlog-size 1.0 MB holds 10 s of writes at 102 kB/s"
    assert finding.todo.startswith("CONFIG SET repl-backlog-size 8mb,")
    (finding,) = backlog(repl_backlog_size=str(8 << 20))
    assert (finding.level, "1 min 21 s" in finding.what) == ("ok", True)


def test_backlog__of_an_old_server_is_judged_by_what_comes_in() -> None:
    """Redis 6.2 does not say what it writes to its replicas."""
    info = INFO | {"repl_backlog_size": "1048576", "instantaneous_input_kbps": "100.00"}
    found = replication_findings(replace(REPLICATING, info=info), "none")
    what = next(one.what for one in found if one.check == "backlog")
    assert what.endswith("holds at most 10 s of writes at 102 kB/s or more")


@pytest.mark.parametrize(
    "info", [{"instantaneous_output_repl_kbps": "0.40"}, {"repl_backlog_size": "0"}]
)
def test_backlog__of_a_quiet_server_is_not_judged(info: dict[str, str]) -> None:
    """Nothing is said where nothing is written, or nothing is known."""
    assert backlog(**info) == []


def test_backlog__without_replicas_is_not_judged() -> None:
    """Nobody reads it."""
    found = replication_findings(replace(REPLICATING, replicas=[]), "none")
    assert "backlog" not in {one.check for one in found}
