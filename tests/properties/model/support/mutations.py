"""Defects planted in the scripts, each of which the machine must notice."""

from __future__ import annotations

from hashlib import sha1
from typing import Final, NamedTuple

from galaxy_notify.redis_client.scripts import Script, script


class Mutation(NamedTuple):
    """One defect: a text of a script, and what stands in its place."""

    script: str
    text: str
    instead: str


#: Name → the defect.
MUTATIONS: Final = {
    "published without the fence": Mutation(
        "route_settle",
        "if not (whole or held[member]) then\n      answer",
        "if false then\n      answer",
    ),
    "settled without the fence": Mutation(
        "route_settle",
        "if not (whole or held[member]) then\n    answer",
        "if false then\n    answer",
    ),
    "a lease that outlives its settlement": Mutation(
        "route_settle", "return fault(try('ZREM', KEYS[2], token))", "return nil"
    ),
    "a settled route that stays scheduled": Mutation(
        "route_settle", "or try('ZREM', KEYS[1], unpack(removed))", "or 0"
    ),
    "a whole claim that stays scheduled": Mutation(
        "route_settle", "try('ZREMRANGEBYSCORE', KEYS[1], expiry, expiry)", "0"
    ),
    "open not counted down": Mutation(
        "route_settle", "try('HINCRBY', key, 'open', -routes)", "try('HGET', key, 'open')"
    ),
    "a settled notification that never expires": Mutation(
        "route_settle", "if not fault(open) and open <= 0 then", "if false then"
    ),
    "published without being counted": Mutation(
        "route_settle", "tally('published', kind.done)", "tally('published', 0)"
    ),
    "published though too late": Mutation(
        "route_settle", "elseif kind.late then", "elseif false then"
    ),
    "a retry that is due at once": Mutation(
        "route_settle", "local due = now + tonumber(ARGV[at + 3])", "local due = now"
    ),
    "an event of a vanished notification": Mutation(
        "route_settle", "try('XDEL', KEYS[5], stream_id)", "try('EXISTS', KEYS[5])"
    ),
    "a release that keeps the count": Mutation(
        "route_settle", "moved[#moved + 1] = member\n  answer('released')", "answer('released')"
    ),
    "whole when it is not": Mutation(
        "route_settle",
        "local whole = left > 0 and left == tonumber(ARGV[5])",
        "local whole = left > 0",
    ),
    "claimed before its time": Mutation(
        "route_claim",
        "'-inf', horizon, 'LIMIT', offset, limit)",
        "'-inf', '+inf', 'LIMIT', offset, limit)",
    ),
    "claimed while paused": Mutation(
        "route_claim", "if call('SISMEMBER', KEYS[4], ARGV[4]) == 1 then", "if false then"
    ),
    "a suspect taken with others": Mutation(
        "route_claim", "local suspect = behind >= 2", "local suspect = false"
    ),
    "abandoned without being counted": Mutation(
        "route_claim",
        "+ 1 end\nend\n\nlocal function end_expired",
        "+ 0 end\nend\n\nlocal function end_expired",
    ),
    "a lease that lapses with another": Mutation(
        "route_claim",
        "call('ZCOUNT', KEYS[2], score, score) == 0\n    and",
        "",
    ),
    "a lease at a time left behind": Mutation(
        "route_claim", "\n    and call('ZCOUNT', KEYS[1], score, score) == 0", ""
    ),
    "given again, and more": Mutation("route_claim", "    if i <= limit then", "    if true then"),
    "nobody told of more": Mutation("route_claim", "if taken == limit then wake(KEYS[7]) end", ""),
    "unleased while paused": Mutation(
        "route_publish", "if call('SISMEMBER', KEYS[4], channel) == 1 then", "if false then"
    ),
    "unleased beside a lease that has expired": Mutation(
        "route_publish", "if call('ZCOUNT', KEYS[2], '-inf', now) > 0 then", "if false then"
    ),
    "unleased before its time": Mutation(
        "route_publish",
        "call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)",
        "call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'LIMIT', 0, limit)",
    ),
    "unleased where it was misplaced": Mutation(
        "route_publish", " or tonumber(due_at) > now then", " then"
    ),
    "unleased though abandoned": Mutation(
        "route_publish", "if known and not late and not abandoned[place]", "if known and not late"
    ),
    "unleased though too late": Mutation(
        "route_publish", "if known and not late and not", "if known and not"
    ),
    "unleased and still scheduled": Mutation(
        "route_publish", "try('ZREM', KEYS[1], unpack(gone))", "try('ZCARD', KEYS[1])"
    ),
    "unleased without being counted": Mutation(
        "route_publish", "tally('published', published)", "tally('published', 0)"
    ),
    "unleased and still open": Mutation(
        "route_publish", "try('HINCRBY', key, 'open', -#ids)", "try('HGET', key, 'open')"
    ),
    "unleased for ever": Mutation(
        "route_publish", "if not fault(open) and open <= 0 then", "if false then"
    ),
    "unleased under the id of the first time": Mutation(
        "route_publish", "member .. known.suffix", "member"
    ),
    "unleased and nobody told of more": Mutation(
        "route_publish", "if #due == limit then wake(KEYS[7]) end", ""
    ),
    "accepted twice": Mutation("intent_accept", "if try('EXISTS', key) ~= 0 then", "if false then"),
    "a conflict taken for the same": Mutation(
        "intent_accept", "answer(same and 'duplicate' or 'conflict'", "answer('duplicate'"
    ),
    "scheduled in the past": Mutation(
        "intent_accept",
        "EARLIEST then return now, now_text end",
        "EARLIEST then return due, text end",
    ),
    "nobody told of the first": Mutation(
        "intent_accept", "if due <= now then\n    wake(list)", "if due <= now then\n"
    ),
    "a mark that is not seen": Mutation(
        "intent_accept", "if mark and status == PENDING then", "if false then"
    ),
    "a cancelled route that stays scheduled": Mutation(
        "route_cancel",
        "fault(try('ZREM', schedule, member)) then return 'fault' end",
        "false then return 'fault' end",
    ),
    "cancel of what has changed": Mutation(
        "route_cancel", "if state ~= before then return 'changed' end", ""
    ),
    "moved though it has changed": Mutation(
        "route_reschedule", "if state ~= before then return 'changed' end", ""
    ),
    "moved and still leased": Mutation(
        "route_reschedule", "fault(try('ZADD', schedule, digits(at), member))", "false"
    ),
    "due before it was moved": Mutation(
        "route_reschedule", "math.max(now, tonumber(ARGV[4]))", "tonumber(ARGV[4])"
    ),
    "nobody told of the moved": Mutation(
        "route_reschedule",
        "wake(tag .. 'wake:' .. channel)",
        "try('LLEN', tag .. 'wake:' .. channel)",
    ),
    "a replay that stays dead": Mutation(
        "route_replay", "failure = failure or fault(try('ZREM', dead, member))", ""
    ),
    "a purge that is not counted": Mutation("route_purge", "count(KEYS[1], 'purged', purged)", ""),
    "a purged route that is still needed": Mutation(
        "route_purge", "try('HINCRBY', key, 'open', -1)", "try('HINCRBY', key, 'open', 0)"
    ),
    "healed whoever holds it": Mutation(
        "route_reposition", "if not expiry or leased ~= expiry then return 'stale' end", ""
    ),
    "leases shortened without their members": Mutation(
        "lease_shorten",
        "if #members > 0 and fault(try('ZADD', KEYS[1], unpack(there))) then return end",
        "",
    ),
    "trimmed at the wrong end": Mutation(
        "stream_trim",
        "local length, losers, gone, more = call('XLEN', stream)",
        "local length, losers, gone, more = call('XLEN', stream) + 1",
    ),
}


def mutant(mutation: Mutation) -> dict[str, Script]:
    """Return the script with the defect, by its name."""
    source = script(mutation.script).source
    assert source.count(mutation.text) == 1, f"not found once: {mutation.text}"
    changed = source.replace(mutation.text, mutation.instead)
    digest = sha1(changed.encode(), usedforsecurity=False).hexdigest()
    return {mutation.script: Script(mutation.script, changed, digest)}
