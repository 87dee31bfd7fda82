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
--   4.. items    publish: id, keep_ms, expires ('' = never), event_type, payload,
--                request_id, trace_id, traceparent ('' = none), number of routes,
--                then for each route: route id, user_id, event_id, state
--                retry: member, state, delay_ms; bury: member, state
--                expire: member, state, keep_ms; release: member, delay_ms
--                drop: member, reason
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
local SIZE = {publish = 9, retry = 3, bury = 2, expire = 3, release = 2, drop = 2}
local members, leases, words, details, held = {}, {}, {}, {}, {}
local removed, refused, counts, fenced, changes = {}, {}, {}, false, false

local function answer(n, word, detail)
  words[n], details[n] = word, detail or ''
end

local function tally(field, by) counts[field] = (counts[field] or 0) + by end

local function each_item(visit)
  local at, n = 4, 1
  while ARGV[at] do
    local routes = ARGV[at] == 'publish' and tonumber(ARGV[at + 9])
    visit(ARGV[at], at + 1, n, routes)
    at = at + 1 + SIZE[ARGV[at]] + 4 * (routes or 0)
    n = n + (routes or 1)
  end
end

local function key_of(member) return tag .. 'notification:' .. member:match('^[^/]*') end

local function route_of(member) return member:match('/(.*)$') or '' end

local function drop_fence()
  if fenced or #held == 0 then return end
  fenced = true
  return fault(redis.pcall('HDEL', KEYS[2], unpack(held)))
end

local function close(key, routes, keep)
  local left = redis.pcall('HINCRBY', key, 'open', -routes)
  if not fault(left) and left <= 0 then redis.pcall('PEXPIRE', key, keep) end
end

local function orphan(n, word, reason)
  removed[#removed + 1] = members[n]
  redis.pcall('XADD', KEYS[6], 'MAXLEN', '~', 1000, '*', 'member', members[n], 'reason', reason)
  tally('orphaned', 1)
  answer(n, word, reason)
end

-- Write a state where one was; answer for the item and return false where that fails.
local function store(n, key, route, state)
  local created = redis.pcall('HSET', key, route, state)
  if created == 0 then return true end
  if fault(created) then
    answer(n, 'fault', created.err)
  else
    redis.pcall('HDEL', key, route)
    tally('purged', 1)
    orphan(n, 'missing', 'record_missing')
  end
  return false
end

local INFRASTRUCTURE = {'OOM ', 'MISCONF ', 'NOREPLICAS ', 'READONLY ', 'MASTERDOWN '}

local function server_fault(reason)
  for _, code in ipairs(INFRASTRUCTURE) do
    if reason:find(code, 1, true) then return true end
  end
end

local function append(at, first)
  local fields = {'user_id', ARGV[first + 1], 'event_type', ARGV[at + 3],
    'event_id', ARGV[first + 2], 'payload_bytes', ARGV[at + 4]}
  for i, name in ipairs({'request_id', 'trace_id', 'traceparent'}) do
    if ARGV[at + 4 + i] ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = ARGV[at + 4 + i]
    end
  end
  return redis.pcall('XADD', KEYS[4], '*', unpack(fields))
end

-- Return an error only while nothing has been written, for the whole call to answer.
local function publish_route(n, at, first, key)
  local stream_id = append(at, first)
  local reason = fault(stream_id)
  if reason then
    refused[#refused + 1] = n
    answer(n, 'refused', reason)
    return not fenced and server_fault(reason) and reason
  end
  reason = drop_fence()
  if not reason and store(n, key, ARGV[first], stamp(ARGV[first + 3], nil, now) .. stream_id) then
    removed[#removed + 1] = members[n]
    answer(n, 'published', stream_id)
  else
    redis.pcall('XDEL', KEYS[4], stream_id)
    tally('undone', 1)
  end
  return reason
end

local function publish(at, n, routes)
  local key, done = tag .. 'notification:' .. ARGV[at], 0
  for i = 0, routes - 1 do
    if not words[n + i] then
      local failure = publish_route(n + i, at, at + 9 + 4 * i, key)
      if failure then return failure end
      if words[n + i] == 'published' then done = done + 1 end
    end
  end
  if done > 0 then
    close(key, done, ARGV[at + 1])
    tally('published', done)
  end
end

local outcomes = {}

function outcomes.retry(n, member, at)
  local due = now + tonumber(ARGV[at + 2])
  if not store(n, key_of(member), route_of(member), stamp(ARGV[at + 1], due, now)) then return end
  local failure = fault(redis.pcall('ZADD', KEYS[1], digits(due), member))
  if failure then return answer(n, 'fault', failure) end
  tally('retried', 1)
  answer(n, 'retried', digits(due))
end

function outcomes.bury(n, member, at)
  local key, route = key_of(member), route_of(member)
  if redis.pcall('EXISTS', key) == 0 then
    tally('purged', 1)
    return orphan(n, 'missing', 'record_missing')
  end
  local before = redis.pcall('HGET', key, route)
  local failure = fault(redis.pcall('HSET', key, route, stamp(ARGV[at + 1], nil, now)))
  failure = failure or fault(redis.pcall('ZADD', KEYS[3], digits(now), member))
  if failure then
    if type(before) == 'string' then redis.pcall('HSET', key, route, before) end
    return answer(n, 'fault', failure)
  end
  removed[#removed + 1] = member
  tally('dead_lettered', 1)
  answer(n, 'buried')
end

function outcomes.expire(n, member, at)
  local key = key_of(member)
  if not store(n, key, route_of(member), stamp(ARGV[at + 1], nil, now)) then return end
  close(key, 1, ARGV[at + 2])
  removed[#removed + 1] = member
  tally('expired', 1)
  answer(n, 'expired')
end

function outcomes.release(n, member, at)
  local failure = fault(redis.pcall('ZADD', KEYS[1], digits(now + tonumber(ARGV[at + 1])), member))
  answer(n, failure and 'fault' or 'released', failure)
end

function outcomes.drop(n, _, at)
  if ARGV[at + 1]:find('^record_') then tally('purged', 1) end
  orphan(n, 'dropped', ARGV[at + 1])
end

each_item(function(word, at, n, routes)
  for i = 0, (routes or 1) - 1 do
    members[n + i] = routes and ARGV[at] .. '/' .. ARGV[at + 9 + 4 * i] or ARGV[at]
    if routes and ARGV[at + 2] ~= '' and now >= tonumber(ARGV[at + 2]) then
      answer(n + i, 'expired')
    elseif word ~= 'publish' then
      changes = true
    end
  end
end)
for n, lease in ipairs(redis.call('HMGET', KEYS[2], unpack(members))) do
  leases[n] = lease
  if not lease or lease:match('^%d+:%d+:(.*)$') ~= token then
    answer(n, 'stale')
  elseif not words[n] then
    held[#held + 1] = members[n]
  end
end
redis.call('ZCARD', KEYS[1])
redis.call('ZCARD', KEYS[3])

local failure
each_item(function(word, at, n, routes)
  if word == 'publish' and not failure then failure = publish(at, n, routes) end
end)
if not failure and changes then failure = drop_fence() end
if failure then return redis.error_reply(failure) end
each_item(function(word, at, n)
  if word ~= 'publish' and not words[n] then outcomes[word](n, ARGV[at], at) end
end)

if fenced then
  for _, n in ipairs(refused) do redis.pcall('HSET', KEYS[2], members[n], leases[n]) end
end
if #removed > 0 then redis.pcall('ZREM', KEYS[1], unpack(removed)) end
for field, by in pairs(counts) do count(KEYS[5], field, by) end
local length = redis.pcall('XLEN', KEYS[4])
local answers = {now, fault(length) and 0 or length}
for n = 1, #members do
  answers[#answers + 1] = words[n]
  answers[#answers + 1] = details[n]
end
return answers
