-- route_claim: pending | failed -> (leased)
--
-- Lease due members: their score becomes the time at which the lease expires. The next
-- claim takes the next members, and an abandoned member is due again by itself. Leases
-- that have expired end here, and are counted for each member. A member abandoned twice is
-- a suspect and is claimed alone. A repeat with the same token returns the same members,
-- up to the current limit; the rest are released.
--
-- KEYS
--   1 schedule   zset    members by when they are next due
--   2 leases     zset    token -> when the lease expires: the score of its members
--   3 abandoned  hash    member -> leases that expired unsettled
--   4 paused     set     paused channels
--   5 stream     stream  gateway events
--   6 totals     hash
--   7 wake       list    wakes a blocked worker
--   8 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 token      str  new for each claim
--   4 channel    str
--   5 limit      int  members to take, at most 256
--   6 ttl_ms     int  how long the lease lasts
--   7 budget     int  bytes of records and states to return
--   8 largest    int  bytes; a larger record is reported, not returned
--   9 hold       int  stream length from which on nothing is claimed; 0 = never
--   10 alone     str  '1' claims one suspect instead
--   11 mark      str  '1' counts the lease as abandoned until there is an outcome: whatever
--                ends it, it is known that the route may have been sent
-- RETURNS word, now, detail, suspects seen, members, records, oddities
--   claimed      members: member, state, ...; records: id, record, ...; oddities: position
--                among the members, verdict, how many of its leases expired, ...
--   idle         the detail is when the next member is due, or ''
--   paused       the channel is paused
--   held         the detail is the length of the stream
--   A verdict is '', 'vanished' (no hash), 'missing' (no record or state), 'wrong_type',
--   'oversized' (the record) or 'bloated' (the state).

local tag, now, token = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local limit, ttl = math.max(1, math.min(tonumber(ARGV[5]), 256)), tonumber(ARGV[6])
local alone, marks, suspects = ARGV[10] == '1', ARGV[11] == '1' and 1 or 0, 0
local members, times, counted = {}, {}, call('HLEN', KEYS[3]) > 0

-- Return a lease score: the latest free time before the lease must expire. Its fraction of a
-- millisecond is unique among leases; a member without a lease has a whole millisecond. The
-- schedule is checked too: after a clock was set back, members of an ended lease may have it.
-- Why one lease for the whole claim: docs/decisions/0001-one-lease-per-claim.md
local function free_score(expiry)
  local score
  repeat
    expiry = expiry - 1 / 1024
    score = string.format('%.17g', expiry)
  until expiry % 1 ~= 0 and call('ZCOUNT', KEYS[2], score, score) == 0
    and call('ZCOUNT', KEYS[1], score, score) == 0
  return score
end

local function leased_at(score)
  return call('ZRANGEBYSCORE', KEYS[1], score, score, 'LIMIT', 0, 256)
end

-- Return how many leases expired unsettled on each of these members.
local function counts_of(names)
  if not counted or #names == 0 then return {} end
  return call('HMGET', KEYS[3], unpack(names))
end

-- Expired leases: their tokens, their members with the new counts, and the score up to which
-- they were read.
local expired, left, horizon = {}, {}, digits(now)

local function read_expired()
  local found, names = call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 64), {}
  for i = 1, #found, 2 do
    for _, member in ipairs(leased_at(found[i + 1])) do names[#names + 1] = member end
    if found[i] ~= token then expired[#expired + 1] = found[i] end
    if #names >= 512 or i == 127 then
      horizon = found[i + 1]
      break
    end
  end
  local before = counts_of(names)
  for i, member in ipairs(names) do left[member] = (tonumber(before[i]) or 0) + 1 end
end

local function end_expired()
  if #expired == 0 then return end
  local entries = {}
  for member, count in pairs(left) do
    entries[#entries + 1] = member
    entries[#entries + 1] = count
  end
  if #entries > 0 then
    local refused = try('HSET', KEYS[3], unpack(entries))
    if fault(refused) then return refused end
  end
  try('ZREM', KEYS[2], unpack(expired))
  count(KEYS[6], 'abandoned', #entries / 2)
end

local function choose()
  local offset, want = 0, alone and 1 or limit
  repeat
    local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', horizon, 'LIMIT', offset, limit)
    local before = counts_of(due)
    for i, member in ipairs(due) do
      local behind = left[member] or tonumber(before[i] or 0) or 0
      local suspect = behind >= 2 + marks
      if suspect then suspects = suspects + 1 end
      if suspect == alone and #members < want then
        members[#members + 1], times[#times + 1] = member, behind
      end
    end
    offset = offset + #due
  until #members >= want or #due < limit or offset >= 1024
end

-- Take the members this token already holds. Return those beyond the limit, to release.
local function held_before(score)
  local due, unmarked = {}, {}
  local given = leased_at(score)
  local before = counts_of(given)
  for i, member in ipairs(given) do
    if i <= limit then
      members[i], times[i] = member, math.max(0, (tonumber(before[i] or 0) or 0) - marks)
    else
      due[#due + 1] = digits(now)
      due[#due + 1] = member
      unmarked[#unmarked + 1] = member
      unmarked[#unmarked + 1] = math.max(0, (tonumber(before[i] or 0) or 0) - marks)
    end
  end
  return due, unmarked
end

local records, known, large, bytes, oddities = {}, {}, {}, 0, {}
local budget, largest = tonumber(ARGV[7]), tonumber(ARGV[8])

local function small(state) return state and #state <= 65536 and state or '' end

-- Reading is cheaper than measuring first. After the first value that is far too large, every
-- value is measured, so that one call reads at most one of them.
local wary = false

local function exceeds(key, field, most)
  local size = try('HSTRLEN', key, field)
  return not fault(size) and size > most
end

local function look_up(key, id, route)
  if wary and not large[id] and exceeds(key, 'record', largest) then large[id] = true end
  if wary and exceeds(key, route, 65536) then return nil, nil, 'bloated' end
  if known[id] or large[id] then return nil, call('HGET', key, route) end
  local found = try('HMGET', key, 'record', route)
  local reason = fault(found)
  if not reason then return found[1], found[2] end
  if not reason:find('WRONGTYPE', 1, true) then error(reason, 0) end
  return nil, nil, 'wrong_type'
end

-- Read the state of a member, and its record unless an earlier member had the same.
local function read(member)
  local slash = member:find('/', 1, true)
  if not slash then return 'vanished', '' end
  local id, route = member:sub(1, slash - 1), member:sub(slash + 1)
  local key = tag .. 'notification:' .. id
  local record, state, verdict = look_up(key, id, route)
  if verdict then return verdict, '' end
  large[id] = large[id] or record and #record > largest
  wary = wary or large[id] or state and #state > 65536
  if large[id] then return 'oversized', small(state) end
  bytes = bytes + (record and #record or 0) + #small(state)
  if bytes > budget and #answers > 0 then return nil end
  if record then
    known[id] = true
    records[#records + 1] = id
    records[#records + 1] = record
  end
  if not (known[id] and state) then
    return call('EXISTS', key) == 0 and 'vanished' or 'missing', small(state)
  end
  if #state > 65536 then return 'bloated', '' end
  return '', state
end

local before, due, unmarked = call('ZSCORE', KEYS[2], token), {}, {}
if before then due, unmarked = held_before(before) end
local again = #members > 0
if not again then
  if call('SISMEMBER', KEYS[4], ARGV[4]) == 1 then return {'paused', now, '', 0} end
  local length = try('XLEN', KEYS[5])
  if ARGV[9] ~= '0' and not fault(length) and length >= tonumber(ARGV[9]) then
    return {'held', now, length, 0}
  end
  read_expired()
  choose()
end

local taken = 0
for i, member in ipairs(members) do
  local verdict, state = read(member)
  if not verdict then break end
  taken = i
  answers[2 * i - 1], answers[2 * i] = member, state
  if verdict ~= '' or times[i] > 0 then
    oddities[#oddities + 1] = i
    oddities[#oddities + 1] = verdict
    oddities[#oddities + 1] = times[i]
  end
end
if taken == 0 then
  local refused = end_expired()
  if refused then return refused end
  local head = call('ZRANGEBYSCORE', KEYS[1], '(' .. horizon, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return {'idle', now, head[2] or '', suspects}
end
if again then
  if #due > 0 then try('ZADD', KEYS[1], unpack(due)) end
  if #due > 0 and marks == 1 then try('HSET', KEYS[3], unpack(unmarked)) end
  return {'claimed', now, '', suspects, answers, records, oddities}
end

local score, scores = free_score(now + ttl), {}
for i = 1, taken do scores[2 * i - 1], scores[2 * i] = score, members[i] end
call('ZADD', KEYS[2], score, token)
local refused = try('ZADD', KEYS[1], unpack(scores))
if fault(refused) then
  try('ZREM', KEYS[2], token)
  return refused
end
if marks == 1 then
  local marked, back = {}, {}
  for i = 1, taken do
    local member = members[i]
    marked[2 * i - 1], marked[2 * i] = member, times[i] + 1
    back[2 * i - 1], back[2 * i] = digits(now), member
    if left[member] then left[member] = left[member] + 1 end
  end
  refused = try('HSET', KEYS[3], unpack(marked))
  if fault(refused) then
    try('ZADD', KEYS[1], unpack(back))
    try('ZREM', KEYS[2], token)
    return refused
  end
end
end_expired()
if taken == limit then wake(KEYS[7]) end
return {'claimed', now, '', suspects, answers, records, oddities}
