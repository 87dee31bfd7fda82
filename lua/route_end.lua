-- route_end: pending | failed -> delivered | skipped | expired | failed | dead_letter
--
-- Record what became of routes of an external channel. They may have been sent, so this must
-- be possible at maxmemory: the first write removes the token. The lease is the fence, as in
-- route_settle: a repeat finds its members stale. A member that cannot be written stays under
-- the lease: its worker repeats the call, or it counts as abandoned. What ended, and what
-- died, has an entry in the delivery stream, for the feed of its user.
--
-- KEYS
--   1 schedule   zset    members by when they are next due
--   2 leases     zset    token -> when the lease expires: the score of its members
--   3 abandoned  hash    member -> leases that expired unsettled
--   4 dead       zset    dead letters by when they died
--   5 deliveries stream  what became of the routes of external channels
--   6 totals     hash
--   7 orphans    stream  members removed because their record is unusable
--   8 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 token      str  from the claim
--   4 channel    str  of every route
--   5.. items    each: outcome, member, the state to write, ms, reason. deliver, skip and
--                expire: how long to keep a notification that no route needs; retry and
--                release: the delay; skip, bury, drop: the reason; release, drop: no state
-- RETURNS now, then a word and a detail for each item
--   delivered    it was sent
--   skipped      it was not sent, for the reason
--   expired      it was not sent in time
--   retried      the detail is when it is next due
--   buried       it is a dead letter now
--   released     it is due again, or later
--   dropped      it moved from the schedule to the orphans
--   stale        the lease no longer holds it: nothing was written
--   missing      its hash has vanished: it moved to the orphans
--   fault        not done: the lease still holds it; the detail is the error

local tag, now, token, channel = ARGV[1], now_ms(ARGV[2]), ARGV[3], ARGV[4]
local expiry, held, fenced = call('ZSCORE', KEYS[2], token), {}, false
answers = {now}

local counted = call('HLEN', KEYS[3]) > 0
call('ZCARD', KEYS[4])
for at = 5, expiry and #ARGV or 0, 5 do
  local member = ARGV[at + 1]
  held[member] = call('ZSCORE', KEYS[1], member) == expiry
end

local function key_of(member) return tag .. 'notification:' .. member:match('^[^/]*') end
local function route_of(member) return member:match('/(.*)$') or '' end

local function forget(member)
  if counted then try('HDEL', KEYS[3], member) end
end

local function leave(member)
  try('ZREM', KEYS[1], member)
  forget(member)
end

local function orphan(member, word, reason)
  leave(member)
  try('XADD', KEYS[7], 'MAXLEN', '~', 1000, '*', 'member', member, 'reason', reason)
  tally('orphaned', 1)
  if reason:find('^record_') then tally('purged', 1) end
  answer(word, reason)
end

-- If this is refused, the outcome stands all the same: the entry is for the list of a feed.
local function report(member, outcome, reason)
  try('XADD', KEYS[5], 'MAXLEN', '~', 100000, '*', 'notification_id', member:match('^[^./]*'),
    'user_id', route_of(member):sub(#channel + 2), 'channel', channel, 'outcome', outcome,
    'reason', reason, 'at_ms', digits(now))
end

-- Write the state of a member, then do the rest. Return whether both succeeded; else nothing has changed.
local function store(member, state, rest)
  local key, route = key_of(member), route_of(member)
  local before = try('HGET', key, route)
  local there = before or try('EXISTS', key)
  if there == 0 then return orphan(member, 'missing', 'record_missing') end
  if before and not fault(before) and before:find('^[12][PDcesxd]') then
    leave(member) -- an earlier run could not make it leave
    return answer('stale')
  end
  local failure = fault(there) or fault(try('HSET', key, route, state))
  if not failure and rest then
    failure = rest()
    if failure and before then try('HSET', key, route, before) end
  end
  if failure then answer('fault', failure) end
  return not failure
end

-- End a route for good. Return whether that succeeded.
local function finish(member, at, outcome)
  if not store(member, stamp(ARGV[at + 2], nil, now)) then return end
  local key = key_of(member)
  local open = try('HINCRBY', key, 'open', -1)
  if not fault(open) and open <= 0 then try('PEXPIRE', key, ARGV[at + 3]) end
  leave(member)
  report(member, outcome, ARGV[at + 4])
  return true
end

local outcomes = {}

function outcomes.deliver(member, at)
  if not finish(member, at, 'delivered') then return end
  tally('published', 1) -- what left us; `delivered` says how many of them left by an external channel
  tally('delivered', 1)
  answer('delivered')
end

function outcomes.skip(member, at)
  if not finish(member, at, 'skipped') then return end
  tally('skipped', 1)
  tally('skipped:' .. ARGV[at + 4], 1)
  answer('skipped')
end

function outcomes.expire(member, at)
  if not finish(member, at, 'expired') then return end
  tally('expired', 1)
  answer('expired')
end

function outcomes.retry(member, at)
  local due = now + tonumber(ARGV[at + 3])
  local state = stamp(ARGV[at + 2], due, now)
  local function schedule() return fault(try('ZADD', KEYS[1], digits(due), member)) end
  if not store(member, state, schedule) then return end
  forget(member)
  tally('retried', 1)
  answer('retried', digits(due))
end

function outcomes.bury(member, at)
  local function list() return fault(try('ZADD', KEYS[4], digits(now), member)) end
  if not store(member, stamp(ARGV[at + 2], nil, now), list) then return end
  leave(member)
  report(member, 'dead_letter', ARGV[at + 4])
  tally('dead_lettered', 1)
  answer('buried')
end

function outcomes.release(member, at)
  local failure = fault(try('ZADD', KEYS[1], digits(now + tonumber(ARGV[at + 3])), member))
  if failure then return answer('fault', failure) end
  forget(member)
  answer('released')
end

function outcomes.drop(member, at) orphan(member, 'dropped', ARGV[at + 4]) end

-- The first write, a removing command. Only while it is refused, that is the reply of the whole call.
local function drop_fence()
  if fenced then return end
  fenced = true
  return fault(try('ZREM', KEYS[2], token))
end

for at = 5, #ARGV, 5 do
  local member = ARGV[at + 1]
  if not held[member] then
    answer('stale')
  else
    held[member] = nil
    local failure = drop_fence()
    if failure then return redis.error_reply(failure) end
    outcomes[ARGV[at]](member, at)
  end
end

if fenced then
  local left = try('ZRANGEBYSCORE', KEYS[1], expiry, expiry)
  if #left > 0 and fault(try('ZADD', KEYS[2], expiry, token)) then
    -- They are due when the lease would have expired, and nobody would know that they may have been sent.
    for _, member in ipairs(left) do
      local before = try('HGET', KEYS[3], member)
      try('HSET', KEYS[3], member, (tonumber(not fault(before) and before) or 0) + 1)
    end
  end
  for field, by in pairs(counts) do count(KEYS[6], field, by) end
end
return answers
