-- settle: pending | failed -> published | failed | dead_letter | expired
--
-- End leases, each with its outcome. The token is the only fence. The first write
-- is the first XADD, so a server that takes no writes refuses the whole call; the
-- second drops all tokens, so a re-run finds every item stale. A state that can't
-- be written takes its event back.
--
-- KEYS
--   1 schedule   zset    members by when they are next due
--   2 leases     hash    member -> abandoned:ttl_ms:token
--   3 dead       zset    dead letters by when they died
--   4 stream     stream  gateway events
--   5 totals     hash
--   6 orphans    stream  what was removed because its record could not be used
--   7 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 token      str  from the claim
--   4 channel    str  of every route to publish
--   5 groups     int  how many publish groups follow
--   6.. items    publish groups: id, keep_ms, expires ('' = never), sole ('1': the
--                notification has no other route), event_type, payload, request_id,
--                trace_id, traceparent ('' = none), suffix of the event ids, the state
--                from its due time on, number of routes, route ids
--                then, each: retry, member, state, delay_ms; bury, member, state;
--                expire, member, state, keep_ms; release, member, delay_ms;
--                drop, member, reason
-- RETURNS now, the stream's length, then a word and a detail for each item
--   published    the detail is the stream id
--   retried      the detail is when it is next due
--   buried       it rests among the dead letters
--   expired      it ended; a publish answers it too, unpublished, its lease left intact
--   released     it is due again
--   dropped      it left the schedule for the orphans
--   stale        the lease has moved on: nothing was written
--   missing      its hash has vanished: nothing is in the stream, it went to the orphans
--   refused      the stream did not take it; the lease is left intact
--   fault        not done; the detail is the error

local tag, now, token = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local GROUP, SIZE = 12, {retry = 4, bury = 3, expire = 4, release = 3, drop = 3}
local published, user_at = '1P' .. digits(now), #ARGV[4] + 2
local members, leases, words, details, held = {}, {}, {}, {}, {}
local removed, refused, counts, fenced = {}, {}, {}, false
local groups, others = {}, {}

local function answer(n, word, detail)
  words[n], details[n] = word, detail or ''
end

local function tally(field, by) counts[field] = (counts[field] or 0) + by end

local function key_of(member) return tag .. 'notification:' .. member:match('^[^/]*') end

local function route_of(member) return member:match('/(.*)$') or '' end

local function drop_fence()
  if fenced or #held == 0 then return end
  fenced = true
  return fault(try('HDEL', KEYS[2], unpack(held)))
end

local function close(key, routes, keep)
  local left = try('HINCRBY', key, 'open', -routes)
  if not fault(left) and left <= 0 then try('PEXPIRE', key, keep) end
end

local function orphan(n, word, reason)
  removed[#removed + 1] = members[n]
  try('XADD', KEYS[6], 'MAXLEN', '~', 1000, '*', 'member', members[n], 'reason', reason)
  tally('orphaned', 1)
  answer(n, word, reason)
end

-- A write that made fields met a vanished hash, unless the record is there.
local function vanished(n, key, created, route)
  if created == 0 or try('HEXISTS', key, 'record') == 1 then return false end
  try('HDEL', key, route)
  if created == 2 then try('HDEL', key, 'open') end
  tally('purged', 1)
  orphan(n, 'missing', 'record_missing')
  return true
end

local function store(n, key, route, state)
  local created = try('HSET', key, route, state)
  if fault(created) then
    answer(n, 'fault', created.err)
    return false
  end
  return not vanished(n, key, created, route)
end

local INFRASTRUCTURE = {'OOM ', 'MISCONF ', 'NOREPLICAS ', 'READONLY ', 'MASTERDOWN '}

local function server_fault(reason)
  for _, code in ipairs(INFRASTRUCTURE) do
    if reason:find(code, 1, true) then return true end
  end
end

local UNTRACED = {}

local function traced(at)
  if ARGV[at + 6] == '' and ARGV[at + 7] == '' and ARGV[at + 8] == '' then return UNTRACED end
  local fields = {}
  for i, name in ipairs({'request_id', 'trace_id', 'traceparent'}) do
    if ARGV[at + 5 + i] ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = ARGV[at + 5 + i]
    end
  end
  return fields
end

-- Return an error only while nothing has been written, for the whole call to answer.
local function publish_route(n, at, key, route, fields)
  local stream_id = try('XADD', KEYS[4], '*', 'user_id', route:sub(user_at), 'event_type', ARGV[at + 4],
    'event_id', members[n] .. ARGV[at + 9], 'payload_bytes', ARGV[at + 5], unpack(fields))
  local reason = fault(stream_id)
  if reason then
    refused[#refused + 1] = n
    answer(n, 'refused', reason)
    return not fenced and server_fault(reason) and reason
  end
  reason = not fenced and drop_fence()
  local state, sole, created = published .. ARGV[at + 10] .. stream_id, ARGV[at + 3] == '1', nil
  if not reason then
    if sole then
      created = try('HSET', key, route, state, 'open', 0)
    else
      created = try('HSET', key, route, state)
    end
    if fault(created) then
      answer(n, 'fault', created.err)
    elseif not vanished(n, key, created, route) then
      removed[#removed + 1] = members[n]
      return answer(n, 'published', stream_id)
    end
  end
  try('XDEL', KEYS[4], stream_id)
  tally('undone', 1)
  return reason
end

local function publish(group)
  local at, n, done = group.at, group.n, 0
  local key, fields = tag .. 'notification:' .. ARGV[at], traced(at)
  for i = 0, group.size - 1 do
    if not words[n + i] then
      local failure = publish_route(n + i, at, key, ARGV[at + GROUP + i], fields)
      if failure then return failure end
      if words[n + i] == 'published' then done = done + 1 end
    end
  end
  if done == 0 then return end
  tally('published', done)
  if ARGV[at + 3] == '1' then
    try('PEXPIRE', key, ARGV[at + 1])
  else
    close(key, done, ARGV[at + 1])
  end
end

local outcomes = {}

function outcomes.retry(n, member, at)
  local due = now + tonumber(ARGV[at + 3])
  if not store(n, key_of(member), route_of(member), stamp(ARGV[at + 2], due, now)) then return end
  local failure = fault(try('ZADD', KEYS[1], digits(due), member))
  if failure then return answer(n, 'fault', failure) end
  tally('retried', 1)
  answer(n, 'retried', digits(due))
end

function outcomes.bury(n, member, at)
  local key, route = key_of(member), route_of(member)
  if try('EXISTS', key) == 0 then
    tally('purged', 1)
    return orphan(n, 'missing', 'record_missing')
  end
  local before = try('HGET', key, route)
  local failure = fault(try('HSET', key, route, stamp(ARGV[at + 2], nil, now)))
  failure = failure or fault(try('ZADD', KEYS[3], digits(now), member))
  if failure then
    if type(before) == 'string' then try('HSET', key, route, before) end
    return answer(n, 'fault', failure)
  end
  removed[#removed + 1] = member
  tally('dead_lettered', 1)
  answer(n, 'buried')
end

function outcomes.expire(n, member, at)
  local key = key_of(member)
  if not store(n, key, route_of(member), stamp(ARGV[at + 2], nil, now)) then return end
  close(key, 1, ARGV[at + 3])
  removed[#removed + 1] = member
  tally('expired', 1)
  answer(n, 'expired')
end

function outcomes.release(n, member, at)
  local failure = fault(try('ZADD', KEYS[1], digits(now + tonumber(ARGV[at + 2])), member))
  answer(n, failure and 'fault' or 'released', failure)
end

function outcomes.drop(n, _, at)
  if ARGV[at + 2]:find('^record_') then tally('purged', 1) end
  orphan(n, 'dropped', ARGV[at + 2])
end

-- Read what is asked for.
local at, n, late = 6, 1, {}
for i = 1, tonumber(ARGV[5]) do
  local size, id = tonumber(ARGV[at + 11]), ARGV[at]
  groups[i] = {at = at, n = n, size = size}
  local too_late = ARGV[at + 2] ~= '' and now >= tonumber(ARGV[at + 2])
  for route = at + GROUP, at + GROUP + size - 1 do
    members[n], late[n] = id .. '/' .. ARGV[route], too_late
    n = n + 1
  end
  at = at + GROUP + size
end
while ARGV[at] do
  others[#others + 1] = {at = at, n = n}
  members[n] = ARGV[at + 1]
  at, n = at + SIZE[ARGV[at]], n + 1
end

-- Guard: who still holds the lease? The same string as the last one needs no second look.
local ours
for i, lease in ipairs(call('HMGET', KEYS[2], unpack(members))) do
  leases[i] = lease
  if lease and (lease == ours or lease:match('^%d+:%d+:(.*)$') == token) then
    ours = lease
    if late[i] then answer(i, 'expired') else held[#held + 1] = members[i] end
  else
    answer(i, 'stale')
  end
end
call('ZCARD', KEYS[1])
call('ZCARD', KEYS[3])

local failure
for _, group in ipairs(groups) do
  failure = failure or publish(group)
end
if #others > 0 then failure = failure or drop_fence() end
if failure then return redis.error_reply(failure) end
for _, item in ipairs(others) do
  if not words[item.n] then outcomes[ARGV[item.at]](item.n, members[item.n], item.at) end
end

if fenced then
  for _, i in ipairs(refused) do try('HSET', KEYS[2], members[i], leases[i]) end
end
if #removed > 0 then try('ZREM', KEYS[1], unpack(removed)) end
for field, by in pairs(counts) do count(KEYS[5], field, by) end
local length = try('XLEN', KEYS[4])
local answers = {now, fault(length) and 0 or length}
for i = 1, #members do
  answers[2 * i + 1], answers[2 * i + 2] = words[i], details[i]
end
return answers
