-- claim: pending | failed -> (leased)
--
-- Take due members under a lease: the score becomes the time at which the lease
-- lapses, so the next claim sees the next members and an abandoned one is simply
-- due again. Asked again with the token of its last claim, it gives the same again,
-- as far as the limit allows now, and the rest is due again. A member abandoned twice
-- is a suspect and is taken only when alone.
--
-- KEYS
--   1 schedule   zset    members by when they are next due
--   2 leases     hash    member -> abandoned:ttl_ms:token
--   3 claims     hash    slot -> token and score of its last claim
--   4 paused     set     paused channels
--   5 stream     stream  gateway events
--   6 totals     hash
--   7 wake       list    wakes a blocked worker
--   8 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 slot       str  who claims
--   4 token      str  new for each claim
--   5 channel    str
--   6 limit      int  members to take, at most 256
--   7 ttl_ms     int  how long the lease lasts
--   8 budget     int  bytes of records and states to answer with
--   9 largest    int  a larger record is named, not read
--   10 hold      int  stream length at which nothing is claimed; 0 = never
--   11 alone     str  '1' takes one suspect instead
-- RETURNS word, now, detail, suspects seen, members, records
--   claimed      members: member, verdict, state, abandoned, ...; records: id, record, ...
--   idle         the detail is when the next member is due, or ''
--   paused       the channel is paused
--   held         the detail is the length of the stream
--   A verdict is '', 'vanished' (no hash), 'missing' (no record or state), 'wrong_type',
--   'oversized' (the record) or 'bloated' (the state).

local tag, now, token = ARGV[1], now_ms(ARGV[2]), ARGV[4]
local limit = math.max(1, math.min(tonumber(ARGV[6]), 256))
local alone, suspects, members, abandoned = ARGV[11] == '1', 0, {}, {}

local function abandonments(lease)
  return lease and (tonumber(lease:match('^(%d+):')) or 0) + 1 or 0
end

-- Find what the last claim gave; return what of it is too much now.
local function given_before(score)
  local rest, leased = {}, call('ZRANGEBYSCORE', KEYS[1], score, score, 'LIMIT', 0, 1024)
  if #leased == 0 then return end
  for i, lease in ipairs(call('HMGET', KEYS[2], unpack(leased))) do
    if lease and lease:match('^%d+:%d+:(.*)$') == token then
      local times = abandonments(lease) - 1
      if #members < limit then
        members[#members + 1], abandoned[#abandoned + 1] = leased[i], times
      else
        rest[#rest + 1] = {member = leased[i], abandoned = times}
      end
    end
  end
  return rest
end

-- Asked again for fewer than were given, keep those and give the rest back, uncounted.
local function give_back(rest)
  local given, leases, due = {}, {}, {}
  for i, item in ipairs(rest) do
    given[i], due[2 * i - 1], due[2 * i] = item.member, digits(now), item.member
    if item.abandoned > 0 then
      leases[#leases + 1] = item.member
      leases[#leases + 1] = item.abandoned - 1 .. ':' .. ARGV[7] .. ':'
    end
  end
  if #rest == 0 then return end
  call('HDEL', KEYS[2], unpack(given))
  if #leases > 0 then try('HSET', KEYS[2], unpack(leases)) end
  try('ZADD', KEYS[1], unpack(due))
end

local function choose()
  local offset, want = 0, alone and 1 or limit
  repeat
    local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', offset, limit)
    if #due == 0 then return end
    for i, lease in ipairs(call('HMGET', KEYS[2], unpack(due))) do
      local times = abandonments(lease)
      local suspect = times >= 2
      if suspect then suspects = suspects + 1 end
      if suspect == alone and #members < want then
        members[#members + 1] = due[i]
        abandoned[#abandoned + 1] = times
      end
    end
    offset = offset + #due
  until #members >= want or #due < limit or offset >= 1024
end

local records, known, bytes, answers = {}, {}, 0, {}
local budget, largest = tonumber(ARGV[8]), tonumber(ARGV[9])

local function small(state) return state and #state <= 65536 and state or '' end

local function read_first(id, key, route)
  local size = try('HSTRLEN', key, 'record')
  local reason = fault(size)
  if reason and not reason:find('WRONGTYPE', 1, true) then error(reason, 0) end
  if reason then return 'wrong_type', '' end
  if size > largest then return 'oversized', small(call('HGET', key, route)) end
  bytes = bytes + size
  if bytes > budget and #answers > 0 then return nil end
  local found = call('HMGET', key, 'record', route)
  if found[1] then
    known[id] = true
    records[#records + 1] = id
    records[#records + 1] = found[1]
  end
  return '', found[2]
end

-- Read one member's state, and the record where no member before it had the same.
local function read(member)
  local slash = member:find('/', 1, true)
  if not slash then return 'vanished', '' end
  local id, route, verdict, state = member:sub(1, slash - 1), member:sub(slash + 1), '', nil
  local key = tag .. 'notification:' .. id
  if known[id] then
    state = call('HGET', key, route)
  else
    verdict, state = read_first(id, key, route)
    if verdict ~= '' then return verdict, state end
  end
  if not (known[id] and state) then
    return call('EXISTS', key) == 0 and 'vanished' or 'missing', state or ''
  end
  if #state > 65536 then return 'bloated', '' end
  bytes = bytes + #state
  if bytes > budget and #answers > 0 then return nil end
  return '', state
end

local last = call('HGET', KEYS[3], ARGV[3])
local score, rest = last and last:match('^(%d+) ') or '', nil
if last and last:sub(#score + 2) == token then rest = given_before(score) end
local again = #members > 0
if not again then
  if call('SISMEMBER', KEYS[4], ARGV[5]) == 1 then return {'paused', now, '', 0} end
  local length = try('XLEN', KEYS[5])
  if ARGV[10] ~= '0' and not fault(length) and length >= tonumber(ARGV[10]) then
    return {'held', now, length, 0}
  end
  choose()
end

local taken = 0
for i, member in ipairs(members) do
  local verdict, state = read(member)
  if not verdict then break end
  taken = i
  answers[#answers + 1] = member
  answers[#answers + 1] = verdict
  answers[#answers + 1] = state
  answers[#answers + 1] = abandoned[i]
end
if taken == 0 then
  local head = call('ZRANGEBYSCORE', KEYS[1], '(' .. digits(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return {'idle', now, head[2] or '', suspects}
end
if again then
  give_back(rest)
  return {'claimed', now, '', suspects, answers, records}
end

local lapse = now + tonumber(ARGV[7])
local scores, leases, lost, score_text = {}, {}, 0, digits(lapse)
local lease = ':' .. ARGV[7] .. ':' .. token
local first_lease = '0' .. lease
for i = 1, taken do
  scores[2 * i - 1], scores[2 * i] = score_text, members[i]
  leases[2 * i - 1], leases[2 * i] = members[i], first_lease
  if abandoned[i] > 0 then
    leases[2 * i] = abandoned[i] .. lease
    lost = lost + 1
  end
end
call('HSET', KEYS[3], ARGV[3], score_text .. ' ' .. token)
call('ZADD', KEYS[1], unpack(scores))
local refused = try('HSET', KEYS[2], unpack(leases))
if fault(refused) then
  for i = 1, #scores, 2 do scores[i] = digits(now) end
  try('ZADD', KEYS[1], unpack(scores))
  return refused
end
count(KEYS[6], 'abandoned', lost)
if taken == limit then wake(KEYS[7]) end
return {'claimed', now, '', suspects, answers, records}
