-- route_publish: pending -> published
--
-- Publish due routes whose event needs no code of a worker: pending, never attempted, with a
-- record that this script can read. Its bytes become the payload, as the msgpack encoder forwards
-- them. The state is the fence: pending before this step and published after it, so no lease is
-- taken (docs/decisions/0014-publish-in-one-script.md). Any other member is left to route_claim,
-- unchanged. The first write is an XADD; an event whose state cannot be written is deleted.
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
--   3 channel    str
--   4 limit      int  due members to read, at most 256
--   5 budget     int  bytes of payloads, from which on no more are published
--   6 record     int  bytes; a larger record is left
--   7 payload    int  bytes; a larger payload is left
--   8 hold       int  stream length from which on nothing is published; 0 = never
--   9 line       str  the line that the history of a published route ends with, as msgpack
--   10 keep      int  ms for which a notification is kept once no route needs it
--   11 keyed     int  the same, of one with an idempotency key
--   12.. types   each: a type with times of its own, keep, keyed
-- RETURNS word, now, detail, left, the stream's length, published, kinds, dues, traceparents
--   published    left: how many due members to claim; kinds: type, number of its routes, ...;
--                dues: due time, number of routes, ...; traceparents: of 16 notifications
--   idle         the detail is when the next member is due, or ''
--   paused       the channel is paused
--   held         the detail is the length of the stream

local tag, now, channel = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local limit, budget = math.max(1, math.min(tonumber(ARGV[4]), 256)), tonumber(ARGV[5])
local largest_record, largest_payload, line = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[9]

if call('SISMEMBER', KEYS[4], channel) == 1 then return {'paused', now, '', 0} end
local length = try('XLEN', KEYS[5])
if fault(length) then length = 0 end
if ARGV[8] ~= '0' and length >= tonumber(ARGV[8]) then return {'held', now, length, 0} end
-- A claim ends expired leases and counts them: their members may be suspects.
if call('ZCOUNT', KEYS[2], '-inf', now) > 0 then
  return {'published', now, '', limit, length, 0, {}, {}, {}}
end
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)
if #due == 0 then
  local head = call('ZRANGEBYSCORE', KEYS[1], '(' .. digits(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return {'idle', now, head[2] or '', 0}
end
local abandoned = call('HLEN', KEYS[3]) > 0 and call('HMGET', KEYS[3], unpack(due)) or {}

local DIGITS, head = '^1p' .. ('%d'):rep(26), '1P' .. digits(now)

local function read_state(state)
  local due_at = due_of(state)
  if not state:find(DIGITS) or tonumber(due_at) > now then unreadable() end
  local body, generation = longer_body(state, line)
  return {published = head .. due_at .. body, due = due_at, generation = generation, count = 0,
    suffix = generation == 1 and '' or '#' .. digits(generation)}
end

-- State -> how it is published, or false: routes that were accepted together have the same.
local states = {}

local function known_state(state)
  if #state > 4096 then return false end
  local known = states[state]
  if known == nil then
    local readable, found = pcall(read_state, state)
    known = readable and found
    states[state] = known
  end
  return known
end

local published, left, bytes, gone, traceparents, refusal, stopped = 0, 0, 0, {}, {}, nil, false

-- To read one value that is far too large is enough for a call.
local function is_bloated(state) return state and #state > 65536 end

-- Return how a route is published; nothing if it is left to a claim.
local function publishable(place, state, options)
  local known = state and known_state(state)
  local late = known and known.generation == 1 and options.expires and options.expires <= now
  if known and not late and not abandoned[place] then return known end
  left = left + 1
end

-- Append the event of a route; return its stream id, or nothing if the stream refused it.
local function append(place, colon, known, payload, kind, options)
  local member = due[place]
  local stream_id = try('XADD', KEYS[5], '*', 'user_id', member:sub(colon + 1), 'event_type', kind.type,
    'event_id', member .. known.suffix, 'payload_bytes', payload, unpack(options.fields))
  refusal = fault(stream_id)
  return not refusal and stream_id
end

local function note(place, known, kind)
  published = published + 1
  gone[published] = due[place]
  known.count = known.count + 1
  kind.count = kind.count + 1
end

-- The states could not be written: the events go, and their routes are left.
local function undo(ids)
  try('XDEL', KEYS[5], unpack(ids))
  tally('undone', #ids)
  left = left + #ids
end

local function keeps_of(name)
  for at = 12, #ARGV, 3 do
    if ARGV[at] == name then return ARGV[at + 1], ARGV[at + 2] end
  end
  return ARGV[10], ARGV[11]
end

local function expire(key, kind, options)
  if not kind.keep then kind.keep, kind.keep_keyed = keeps_of(kind.type) end
  try('PEXPIRE', key, options.is_keyed and kind.keep_keyed or kind.keep)
end

-- Publish the only route of a notification.
local function publish_one(key, place, colon, route, state, payload, kind, options)
  local known = publishable(place, state, options)
  local stream_id = known and append(place, colon, known, payload, kind, options)
  if not stream_id then return end
  if fault(try('HSET', key, route, known.published .. stream_id, 'open', 0)) then return undo({stream_id}) end
  note(place, known, kind)
  expire(key, kind, options)
end

-- Read the states of due[first] to due[last]. Return how each is published, and the place behind
-- the last one that was read: it ends early at a state that is far too large.
local function read_states(key, first, last, colon, options)
  local knowns = {}
  for start = first, last, 16 do
    local routes, behind = {}, math.min(start + 16, last + 1)
    for place = start, behind - 1 do routes[place - start + 1] = due[place]:sub(colon - #channel) end
    local states = try('HMGET', key, unpack(routes))
    if fault(states) then states = {} end
    for place = start, behind - 1 do
      local state = states[place - start + 1]
      knowns[place] = publishable(place, state, options)
      stopped = stopped or is_bloated(state)
    end
    if stopped then return knowns, behind end
  end
  return knowns, last + 1
end

-- Publish due[first] to due[last], some or all routes of one notification; return the place behind
-- those that were looked at.
local function publish_several(key, first, last, colon, payload, kind, options)
  local knowns, behind = read_states(key, first, last, colon, options)
  local writes, ids, places = {}, {}, {}
  for place = first, behind - 1 do
    local known = knowns[place]
    local stream_id = known and append(place, colon, known, payload, kind, options)
    if refusal then break end
    if stream_id then
      ids[#ids + 1], places[#places + 1] = stream_id, place
      writes[#writes + 1], writes[#writes + 2] = due[place]:sub(colon - #channel), known.published .. stream_id
    end
  end
  if #ids == 0 then return behind end
  if fault(try('HSET', key, unpack(writes))) then
    undo(ids)
    return behind
  end
  for _, place in ipairs(places) do note(place, knowns[place], kind) end
  local open = try('HINCRBY', key, 'open', -#ids)
  if not fault(open) and open <= 0 then expire(key, kind, options) end
  return behind
end

-- Ids are ASCII, and a member of another channel does not belong here.
local MEMBER = '^%w+%.?%d*/' .. channel:gsub('%W', '%%%0') .. ':'

-- Publish the notification of a member; return the place behind its routes.
local function publish(place)
  local member = due[place]
  local _, colon = member:find(MEMBER)
  if not colon then
    left = left + 1
    return place + 1
  end
  local slash = colon - #channel - 1
  local id, route = member:sub(1, slash - 1), member:sub(slash + 1)
  local key, readable, payload, kind, options = tag .. 'notification:' .. id, false, nil, nil, nil
  local found = try('HMGET', key, 'record', route)
  if fault(found) then found = {} end
  local raw, state = found[1] or '', found[2]
  bytes = bytes + #raw
  stopped = #raw > largest_record or is_bloated(state)
  if #raw <= largest_record then readable, payload, kind, options = pcall(read_record, id, raw) end
  if not (readable and payload and #payload <= largest_payload) then
    left = left + 1
    return place + 1
  end
  local before, behind = published, place + 1
  if options.routes == 1 then
    publish_one(key, place, colon, route, state, payload, kind, options)
  else
    while due[behind] and due[behind]:sub(1, colon) == member:sub(1, colon) do behind = behind + 1 end
    behind = publish_several(key, place, behind - 1, colon, payload, kind, options)
  end
  bytes = bytes + (published - before) * #payload
  if options.traceparent and published > before and #traceparents < 16 then
    traceparents[#traceparents + 1] = options.traceparent
  end
  return behind
end

local place = 1
while place <= #due and bytes < budget and not (refusal or stopped) do place = publish(place) end
if published == 0 and refusal then
  if server_fault(refusal) then return redis.error_reply(refusal) end
  -- The stream refuses this event: settle decides what that means.
  left = #due
end
if published > 0 then
  try('ZREM', KEYS[1], unpack(gone))
  tally('published', published)
end
for field, by in pairs(counts) do count(KEYS[6], field, by) end
if #due == limit then wake(KEYS[7]) end
local types, dues = {}, {}
for _, found in pairs(kinds) do
  if found.count > 0 then types[#types + 1], types[#types + 2] = found.type, found.count end
end
for _, known in pairs(states) do
  if known and known.count > 0 then dues[#dues + 1], dues[#dues + 2] = known.due, known.count end
end
return {'published', now, '', left, length + published, published, types, dues, traceparents}
