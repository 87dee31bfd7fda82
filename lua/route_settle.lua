-- route_settle: pending | failed -> published | failed | dead_letter | expired
--
-- Settle members of a lease, each with its own outcome. The lease is the only fence: the
-- token must exist, and the score of the member must still be that of the lease. The first
-- write is the first XADD, so a server that refuses writes refuses the whole call. The
-- second write drops the lease, so a repeat finds its items stale. If a state cannot be
-- written, its event is deleted. Members that stay open get the lease back at the end.
--
-- KEYS
--   1 schedule   zset    members by when they are next due
--   2 leases     zset    token -> when the lease expires: the score of its members
--   3 abandoned  hash    member -> leases that expired unsettled
--   4 dead       zset    dead letters by when they died
--   5 stream     stream  gateway events
--   6 totals     hash
--   7 orphans    stream  members removed because their record is unusable
--   8 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 token      str  from the claim
--   4 channel    str  of every route to publish
--   5 whole      int  number of members claimed, if all of them follow; else ''
--   6 kinds      int  number of kinds of events to publish that follow
--   7.. items    kinds: keep_ms, expires ('' = never), sole ('1': its notifications have
--                no other route), event_type, request_id, trace_id, traceparent ('' =
--                none), suffix of the event ids, body of the state, number of
--                notifications; these, each: id, payload, due time of 13 digits, number
--                of routes, route ids
--                then, each: retry, member, state, delay_ms; bury, member, state;
--                expire, member, state, keep_ms; release, member, delay_ms;
--                drop, member, reason
-- RETURNS now, the stream's length, then a word and a detail for each item
--   published    the detail is a list: a stream id for this and each published item that follows
--   retried      the detail is when it is next due
--   buried       it is a dead letter now
--   expired      it ended; for a publish: too late, not published, the lease is kept
--   released     it is due again
--   dropped      it moved from the schedule to the orphans
--   stale        the lease no longer holds it: nothing was written
--   missing      its hash has vanished: nothing is in the stream, it moved to the orphans
--   refused      the stream refused the event; the lease is kept
--   fault        not done; the detail is the error

local tag, now, token = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local KIND, SIZE = 10, {retry = 4, bury = 3, expire = 4, release = 3, drop = 3}
local published, user_at = '1P' .. digits(now), #ARGV[4] + 2
local removed, moved, faulty = {}, {}, {}
answers = {now, 0}

-- Guard: which members does this lease still hold? If as many as were claimed, all of them.
local expiry, held, fenced = call('ZSCORE', KEYS[2], token), {}, false
local left = expiry and call('ZCOUNT', KEYS[1], expiry, expiry) or 0
local whole = left > 0 and left == tonumber(ARGV[5])
if left > 0 and not whole then
  for _, member in ipairs(call('ZRANGEBYSCORE', KEYS[1], expiry, expiry)) do held[member] = true end
end
local counted = call('HLEN', KEYS[3]) > 0
call('ZCARD', KEYS[4])

local function answer_published(stream_id)
  local ids = answers[#answers]
  if type(ids) ~= 'table' then
    ids = {}
    answer('published', ids)
  end
  ids[#ids + 1] = stream_id
end

local function key_of(member) return tag .. 'notification:' .. member:match('^[^/]*') end

local function route_of(member) return member:match('/(.*)$') or '' end

local function drop_fence() -- the second write: docs/decisions/0003-settle-writes-the-event-first.md
  if fenced then return end
  fenced = true
  return fault(try('ZREM', KEYS[2], token))
end

-- A member that failed here becomes due when the lease expires, and is not counted as abandoned:
-- the fault is not its own.
local function failed(member, reason)
  faulty[#faulty + 1] = digits(math.ceil(expiry))
  faulty[#faulty + 1] = member
  answer('fault', reason)
end

local function close(key, routes, keep)
  local open = try('HINCRBY', key, 'open', -routes)
  if not fault(open) and open <= 0 then try('PEXPIRE', key, keep) end
end

local function orphan(member, word, reason)
  removed[#removed + 1] = member
  try('XADD', KEYS[7], 'MAXLEN', '~', 1000, '*', 'member', member, 'reason', reason)
  tally('orphaned', 1)
  answer(word, reason)
end

-- A write that created fields found no hash, unless the record is there.
local function vanished(member, key, created, route)
  if created == 0 or try('HEXISTS', key, 'record') == 1 then return false end
  try('HDEL', key, route)
  if created == 2 then try('HDEL', key, 'open') end
  tally('purged', 1)
  orphan(member, 'missing', 'record_missing')
  return true
end

local function store(member, key, state)
  local route = route_of(member)
  local created = try('HSET', key, route, state)
  if fault(created) then return failed(member, created.err) end
  return not vanished(member, key, created, route)
end

local function traced(at)
  local fields = {}
  for i, name in ipairs({'request_id', 'trace_id', 'traceparent'}) do
    if ARGV[at + 3 + i] ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = ARGV[at + 3 + i]
    end
  end
  return fields
end

-- Return an error only while nothing has been written: it is then the reply of the whole call.
local function publish_route(kind, member, key, route, payload, state)
  local stream_id = try('XADD', KEYS[5], '*', 'user_id', route:sub(user_at), 'event_type', kind.type,
    'event_id', member .. kind.suffix, 'payload_bytes', payload, unpack(kind.fields))
  local reason = fault(stream_id)
  if reason then
    answer('refused', reason)
    return not fenced and server_fault(reason) and reason
  end
  reason = not fenced and drop_fence()
  if not reason then
    local created
    if kind.sole then
      created = try('HSET', key, route, state .. stream_id, 'open', 0)
    else
      created = try('HSET', key, route, state .. stream_id)
    end
    if fault(created) then
      failed(member, created.err)
    elseif not vanished(member, key, created, route) then
      removed[#removed + 1] = member
      kind.done = kind.done + 1
      return answer_published(stream_id)
    end
  end
  try('XDEL', KEYS[5], stream_id)
  tally('undone', 1)
  return reason
end

-- Publish the routes of one notification that this lease still holds, each once.
local function publish_all(kind, id, payload, due, first, last)
  local key, state, before = tag .. 'notification:' .. id, published .. due .. kind.state, kind.done
  for at = first, last do
    local route = ARGV[at]
    local member = id .. '/' .. route
    if not (whole or held[member]) then
      answer('stale')
    elseif kind.late then
      answer('expired')
    else
      held[member] = nil
      local failure = publish_route(kind, member, key, route, payload, state)
      if failure then return failure end
    end
  end
  if kind.done == before then return end
  if kind.sole then
    try('PEXPIRE', key, kind.keep)
  else
    close(key, kind.done - before, kind.keep)
  end
end

local outcomes = {}

function outcomes.retry(member, at)
  local due = now + tonumber(ARGV[at + 3])
  if not store(member, key_of(member), stamp(ARGV[at + 2], due, now)) then return end
  local failure = fault(try('ZADD', KEYS[1], digits(due), member))
  if failure then return failed(member, failure) end
  moved[#moved + 1] = member
  tally('retried', 1)
  answer('retried', digits(due))
end

function outcomes.bury(member, at)
  local key, route = key_of(member), route_of(member)
  if try('EXISTS', key) == 0 then
    tally('purged', 1)
    return orphan(member, 'missing', 'record_missing')
  end
  local before = try('HGET', key, route)
  local failure = fault(try('HSET', key, route, stamp(ARGV[at + 2], nil, now)))
  failure = failure or fault(try('ZADD', KEYS[4], digits(now), member))
  if failure then
    if type(before) == 'string' then try('HSET', key, route, before) end
    return failed(member, failure)
  end
  removed[#removed + 1] = member
  tally('dead_lettered', 1)
  answer('buried')
end

function outcomes.expire(member, at)
  local key = key_of(member)
  if not store(member, key, stamp(ARGV[at + 2], nil, now)) then return end
  close(key, 1, ARGV[at + 3])
  removed[#removed + 1] = member
  tally('expired', 1)
  answer('expired')
end

function outcomes.release(member, at)
  local failure = fault(try('ZADD', KEYS[1], digits(now + tonumber(ARGV[at + 2])), member))
  if failure then return failed(member, failure) end
  moved[#moved + 1] = member
  answer('released')
end

function outcomes.drop(member, at)
  if ARGV[at + 2]:find('^record_') then tally('purged', 1) end
  orphan(member, 'dropped', ARGV[at + 2])
end

local at = 7
for _ = 1, tonumber(ARGV[6]) do
  local kind = {keep = ARGV[at], late = ARGV[at + 1] ~= '' and now >= tonumber(ARGV[at + 1]), done = 0,
    sole = ARGV[at + 2] == '1', type = ARGV[at + 3], fields = traced(at), suffix = ARGV[at + 7],
    state = ARGV[at + 8]}
  local notifications = tonumber(ARGV[at + 9])
  at = at + KIND
  for _ = 1, notifications do
    local last = at + 3 + tonumber(ARGV[at + 3])
    local failure = publish_all(kind, ARGV[at], ARGV[at + 1], ARGV[at + 2], at + 4, last)
    if failure then return redis.error_reply(failure) end
    at = last + 1
  end
  if kind.done > 0 then tally('published', kind.done) end
end
while ARGV[at] do
  local outcome, member = ARGV[at], ARGV[at + 1]
  if not (whole or held[member]) then
    answer('stale')
  else
    held[member] = nil
    local failure = drop_fence()
    if failure then return redis.error_reply(failure) end
    outcomes[outcome](member, at)
  end
  at = at + SIZE[outcome]
end

if fenced then
  if #faulty > 0 then try('ZADD', KEYS[1], 'XX', unpack(faulty)) end
  -- Removing one range is faster than removing many members.
  local gone = #removed == 0 or #removed == left and try('ZREMRANGEBYSCORE', KEYS[1], expiry, expiry)
    or try('ZREM', KEYS[1], unpack(removed))
  if not fault(gone) and left > #removed + #moved + #faulty / 2 then try('ZADD', KEYS[2], expiry, token) end
  for _, member in ipairs(counted and removed or {}) do moved[#moved + 1] = member end
  if counted and #moved > 0 then try('HDEL', KEYS[3], unpack(moved)) end
  for field, by in pairs(counts) do count(KEYS[6], field, by) end
end
local length = try('XLEN', KEYS[5])
answers[2] = fault(length) and 0 or length
return answers
