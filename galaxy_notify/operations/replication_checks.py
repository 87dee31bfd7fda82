"""What a failover would cost: role, replicas, how many of them a write waits for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from galaxy_notify.model.wording import duration, size
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding
from galaxy_notify.operations.node_checks import number_of
from galaxy_notify.redis_client.faults import Fault
from galaxy_notify.redis_inspect.node_report import Fields, NodeReport

_LAG_S: Final = 10
_APART_MS: Final = 1000
_SLOTS: Final = 16_384
#: A replica that is restarted, or loses the network, is away for about this long.
_AWAY_S: Final = 60
#: Slower writes are the pings between the servers; after this little was written all is new.
_FEWEST_PER_S: Final = 1024
_MB: Final = 1 << 20
#: Versions of Redis that confirm too early. Valkey 8.1.1 was seen to; no later one is known not to.
_EARLY: Final = frozenset({"7.4.0", "7.4.1", "7.4.2"})


def replication_findings(seen: NodeReport, durability: str) -> Iterator[Finding]:
    """Judge a server that we write to, by its role and its replicas."""
    role = seen.server.role
    if role != "master":
        yield _not_primary(role, seen.info or {})
        return
    yield Finding("ok", "role", "this is the primary")
    if seen.info is None:
        return
    healthy = [one for one in seen.replicas if _is_sound(one)]
    yield from _replicas(seen.replicas, len(healthy))
    yield from _backlog(seen.info, len(seen.replicas))
    yield from _needed(len(healthy), seen.config, durability)
    if durability == "aof":
        yield from _disk(seen)


def _disk(seen: NodeReport) -> Iterator[Finding]:
    """Judge a disk that is waited for, as far as a try cannot: some servers confirm too early."""
    fsync = seen.config.get("appendfsync", "")
    # Its WAITAOF answers for what is only written (redis/redis#13793).
    confirms_early = seen.server.flavour == "valkey" or seen.server.version in _EARLY
    if fsync == "always" or not confirms_early:
        return
    known = f"appendfsync is {fsync}" if fsync else "unless appendfsync is always"
    server = f"{seen.server.flavour} {seen.server.version}"
    what = f"{server} confirms a write before it is on disk, {known}"
    means = "redis.durability aof is not guaranteed: a power loss loses about one second"
    todo = "CONFIG SET appendfsync always, and the same in its configuration"
    yield Finding("error" if fsync else "warning", "durability", what, means, todo, LOST)


def _not_primary(role: str, info: Fields) -> Finding:
    what = f"this server is a {role or 'server of unknown role'}, not the primary"
    if info.get("master_link_status") == "down":
        since = info.get("master_link_down_since_seconds", "")
        known = f" for {duration(int(since) * 1000)}" if since.isdigit() else ""
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        what += f", and its primary {primary} has been away{known}"
    means = "it cannot accept or publish anything"
    todo = (
        "point redis.url at the primary, or set redis.sentinels; if no primary is left: REPLICAOF "
        "NO ONE"
    )
    return Finding("error", "role", what, means, todo, AVAILABILITY)


def _is_sound(replica: Fields) -> bool:
    lag = replica.get("lag", "")
    return replica.get("state") == "online" and lag.isdigit() and int(lag) < _LAG_S


def _replicas(replicas: Sequence[Fields], healthy: int) -> Iterator[Finding]:
    if not replicas:
        means = "the data depends on this server's disk, and is unavailable while its host is down"
        yield Finding("ok", "replicas", "it has no replica", means)
        return
    worst = max(number_of(one, "lag") for one in replicas)
    what = f"{healthy} of {len(replicas)} replicas follow, the last heard of {worst} s ago"
    states = sorted({one.get("state", "?") for one in replicas} - {"online"})
    what += f" ({', '.join(states)})" * bool(states)
    if healthy == len(replicas):
        yield Finding("ok", "replicas", what)
        return
    means = "a failover to a replica that is behind loses the writes it has not received"
    todo = "check the logs of the other replicas and the network"
    yield Finding("warning", "replicas", what, means, todo, LOST)


def _backlog(info: Fields, replicas: int) -> Iterator[Finding]:
    """Judge how long a replica may be away before all data is copied to it.

    The server knows what it wrote to replicas in the last seconds. Before Redis 7.0 it only knows
    what came in, of which scripts make more.
    """
    backlog = number_of(info, "repl_backlog_size")
    is_known = "instantaneous_output_repl_kbps" in info
    per_s = 1024 * float(info.get("instantaneous_input_kbps") or 0)
    if is_known:
        per_s = 1024 * float(info["instantaneous_output_repl_kbps"]) / max(1, replicas)
    if not replicas or not backlog or per_s < _FEWEST_PER_S:
        return
    held_s = backlog / per_s
    most, least = ("", "") if is_known else ("at most ", " or more")
    what = (
        f"repl-backlog-size {size(backlog)} holds {most}{duration(held_s * 1000)} of writes at"
        f" {size(per_s)}/s{least}"
    )
    if held_s >= _AWAY_S:
        yield Finding("ok", "backlog", what)
        return
    copied = f" ({size(number_of(info, 'used_memory'))})" if "used_memory" in info else ""
    means = (
        f"a replica that is away for longer is sent all data again{copied}; meanwhile a failover to"
        " it loses more"
    )
    wanted = 1
    while wanted * _MB < _AWAY_S * per_s:
        wanted *= 2
    todo = f"CONFIG SET repl-backlog-size {wanted}mb, and the same in its configuration"
    yield Finding("warning", "backlog", what, means, todo, AVAILABILITY)


def _needed(healthy: int, config: Fields, durability: str) -> Iterator[Finding]:
    kind, _, number = durability.partition(":")
    wanted = int(number) if kind == "replicas" and number.isdigit() else 0
    if wanted > healthy:
        what = f"redis.durability is {durability}, but {healthy} replicas follow"
        means = "accepting and publishing wait for missing replicas"
        todo = "bring the replicas back, or lower redis.durability"
        yield Finding("error", "durability", what, means, todo, AVAILABILITY)
    least = config.get("min-replicas-to-write", "")
    if not least.isdigit():
        return
    if int(least) > healthy:
        what = f"min-replicas-to-write is {least}, but {healthy} replicas follow"
        means = "the server refuses all writes (NOREPLICAS): nothing is accepted or published"
        todo = "bring the replicas back, or CONFIG SET min-replicas-to-write lower"
        yield Finding("error", "durability", what, means, todo, AVAILABILITY)
    elif healthy and max(wanted, int(least)) < healthy:
        what = f"a write waits for {max(wanted, int(least))} of {healthy} replicas"
        means = (
            "a forced failover, or the loss of this host, may lose the latest accepted "
            "notifications, and publish the latest events again"
        )
        todo = f'redis.durability = "replicas:{healthy}", or min-replicas-to-write {healthy}'
        yield Finding("warning", "durability", what, means, todo, LOST)


def cluster_findings(info: Fields | None, slots: Sequence[range] | None) -> Iterator[Finding]:
    """Judge a cluster by CLUSTER INFO and the slots that have an owner."""
    if info is not None and info.get("cluster_state") != "ok":
        what = f"the cluster is {info.get('cluster_state', 'in an unknown state')}"
        means = "shards with an unserved slot stop; the others may stop too"
        todo = "redis-cli --cluster check, and cluster-require-full-coverage no"
        yield Finding("error", "cluster", what, means, todo, AVAILABILITY)
    if slots is None:
        return
    missing = _SLOTS - len({slot for owned in slots for slot in owned})
    if missing:
        what = f"{missing:,} of {_SLOTS:,} slots have no owner"
        means, todo = "shards in these slots stop", "redis-cli --cluster fix"
        yield Finding("error", "cluster", what, means, todo, AVAILABILITY)
    elif info is None or info.get("cluster_state") == "ok":
        yield Finding("ok", "cluster", f"all {_SLOTS:,} slots have an owner")


def sentinel_findings(reports: Mapping[str, Fields | Fault]) -> Iterator[Finding]:
    """Judge sentinels by what each answers to SENTINEL MASTER, or why it does not."""
    answers = {name: one for name, one in reports.items() if not isinstance(one, Fault)}
    for name, one in reports.items():
        if isinstance(one, Fault):
            what = f"sentinel {name} cannot be queried: {one.text}"
            means = "the other sentinels are used; the quorum for a failover may be missed"
            todo = "start it, or remove it from redis.sentinels; NOPERM: +sentinel|master"
            yield Finding("warning", "sentinels", what, means, todo, AVAILABILITY)
    if not answers:
        return
    named = {f"{one.get('ip', '?')}:{one.get('port', '?')}" for one in answers.values()}
    if len(named) > 1:
        what = f"the sentinels name different primaries: {', '.join(sorted(named))}"
        means = "failover in progress, or isolated sentinels; writes to an old primary are lost"
        todo = "check again in a minute; then SENTINEL RESET at the wrong one"
        yield Finding("error", "sentinels", what, means, todo, LOST)
    yield from _watch(next(iter(answers.values())))


def _watch(primary: Fields) -> Iterator[Finding]:
    others, quorum = number_of(primary, "num-other-sentinels"), number_of(primary, "quorum")
    sentinels = others + 1
    flags = set(primary.get("flags", "").split(",")) & {"s_down", "o_down", "disconnected"}
    if flags:
        what = f"the sentinels report the primary as: {', '.join(sorted(flags))}"
        means = "nothing is accepted or published until there is a new one"
        todo = "wait for the failover; else SENTINEL CKQUORUM, and their logs"
        yield Finding("error", "sentinels", what, means, todo, AVAILABILITY)
    majority = sentinels // 2 + 1
    if sentinels < max(quorum, 3):
        what = f"{sentinels} sentinels, with a quorum of {quorum}"
        means = f"the loss of {sentinels - majority + 1} of them ends automatic failover"
        todo = "run at least three of them, on separate hosts"
        yield Finding("warning", "sentinels", what, means, todo, AVAILABILITY)
    elif not flags:
        yield Finding("ok", "sentinels", f"{sentinels} sentinels, with a quorum of {quorum}")


def together_findings(offsets: Sequence[float], versions: Sequence[str]) -> Iterator[Finding]:
    """Judge nodes beside each other: their clocks, and their versions."""
    if len(set(versions)) > 1:
        what = f"the nodes run {', '.join(sorted(set(versions)))}"
        means = "normal during an upgrade; a replica of an older version cannot replicate"
        yield Finding("warning", "version", what, means, "finish the upgrade", AVAILABILITY)
    apart = max(offsets) - min(offsets) if offsets else 0.0
    if apart >= _APART_MS:
        what = f"the clocks of the nodes differ by {duration(apart)}"
        means = "after a failover, leases and due times shift by this much"
        yield Finding("warning", "clock", what, means, "synchronise the clocks (NTP)")
