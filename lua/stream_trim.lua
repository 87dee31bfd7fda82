-- stream_trim: (none) -> (none)
--
-- Trim the gateway stream towards its length, but never entries that a counted group has
-- not read and acknowledged. Entries that an idle group had not read or acknowledged are
-- lost to it: they are counted, and acknowledged, because they cannot be read any more. The
-- group furthest behind is checked first, others only if necessary. Whole nodes of the
-- stream are removed; a stream far over a small length is cut exactly.
--
-- KEYS
--   1 stream     stream  gateway events
--   2 lost       hash    group -> entries it lost by trimming
--   3 never      the guard against a moving slot
-- ARGV
--   1 max_len    int  length to keep
--   2 idle_ms    int  a group idle for longer than this is not counted;
--                '' = no group is counted
--   3 now        int  or '' for the server's clock
--   4.. groups   each: name, when a consumer was last active, in ms
-- RETURNS how many entries were removed, the length now, now, 1 if more can be removed at
-- once, then for each group that was checked or lost entries: its name; 'holds', 'idle', or
-- 'behind' if no group is counted; when a consumer was last active, in ms; how many it lost

local stream, lost, keep, now = KEYS[1], KEYS[2], tonumber(ARGV[1]), now_ms(ARGV[3])
local patience, page, given, groups = tonumber(ARGV[2]), 4000, {}, {}
local length, losers, gone, more = call('XLEN', stream), call('HLEN', lost), 0, 0
if length <= keep and losers == 0 then return {0, length, now, 0} end
for at = 4, #ARGV, 2 do given[ARGV[at]] = tonumber(ARGV[at + 1]) end

local function pairs_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

local function before(a, b)
  local a_ms, a_seq = a:match('(%d+)-(%d+)')
  local b_ms, b_seq = b:match('(%d+)-(%d+)')
  if tonumber(a_ms) ~= tonumber(b_ms) then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local found = try('XINFO', 'GROUPS', stream)
if length > 0 and fault(found) then return found end
for _, flat in ipairs(found) do
  local info = pairs_of(flat)
  groups[info.name] = {name = info.name, pending = info.pending, last = info['last-delivered-id']}
end
for _, name in ipairs(losers > 0 and call('HKEYS', lost) or {}) do
  if not groups[name] then call('HDEL', lost, name) end
end
if length <= keep then return {0, length, now, 0} end

local function first_id()
  local first = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return first and first[1]
end

-- The list of consumers may be long: it is read only if the given time does not decide.
local function seen(group)
  local known = given[group.name]
  if known and known <= now and now - known <= patience then return known end
  local idle
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', stream, group.name)) do
    local since = pairs_of(consumer).idle
    if not idle or since < idle then idle = since end
  end
  if idle then return now - idle end
  local last = group.last == '0-0' and first_id() or group.last
  return tonumber(last:match('%d+'))
end

-- The position of a group: its oldest pending entry, else the last one delivered to it.
for name, group in pairs(groups) do
  group.oldest = group.pending > 0 and call('XPENDING', stream, name, '-', '+', 1)[1]
  group.at = group.oldest and group.oldest[1] or group.last
end

local function over() return length - gone - keep end

local function furthest_behind()
  local found
  for _, group in pairs(groups) do
    if group.at and (not found or before(group.at, found.at)) then found = group end
  end
  return found
end

-- Trimming beyond the position of a group takes from it: pending entries among those that were
-- delivered, and every entry after them. Entries up to the last delivered fill less than a node.
local function pass(group)
  if group.oldest and not group.passed then
    group.first = first_id()
    group.rows = call('XPENDING', stream, group.name, '-', '+', page)
    group.is_cut = #group.rows == page
    group.at = group.is_cut and group.rows[page][1] or group.last
  else
    group.gone, group.at = gone, nil
    group.kept = #call('XRANGE', stream, '-', group.last, 'COUNT', over() + 1)
  end
  group.passed = true
end

local safe
while over() > 0 and not safe do
  local group = furthest_behind()
  if not group then
    gone = gone + call('XTRIM', stream, 'MAXLEN', '~', keep, 'LIMIT', over())
    break
  end
  gone = gone + call('XTRIM', stream, 'MINID', '~', group.at, 'LIMIT', over())
  if group.is_cut then
    safe, more = group.at, over() > 0 and 1 or 0
  elseif over() * 10 <= keep then
    safe = group.at
  elseif group.passed or not patience then
    pass(group)
  else
    group.seen = seen(group)
    if now - group.seen <= patience then safe = group.at else pass(group) end
  end
end
-- Entries that could still be removed share a node with entries that must stay, so they are few
-- and small. Entries beyond the safe position may be large: none of them is read.
local rest = over()
if rest > 0 and (rest * 10 > keep or more == 1) then
  local most = math.min(rest, 1000) + 1
  local first = call('XRANGE', stream, '-', safe or '+', 'COUNT', most)
  if #first > 0 then
    gone = gone + call('XTRIM', stream, 'MINID', '=', first[most] and first[most][1] or safe)
  end
end

-- Removed entries are counted even if a command fails from here on.
local report, first = {gone, length - gone, now, more}, try('XRANGE', stream, '-', '+', 'COUNT', 1)
for name, group in pairs(groups) do
  local missed, ended = group.kept and math.max(0, gone - group.gone - group.kept) or 0, {}
  for _, row in ipairs(not fault(first) and group.rows or {}) do
    if not first[1] or before(row[1], first[1][1]) then
      ended[#ended + 1] = row[1]
      if not before(row[1], group.first) then missed = missed + 1 end
    end
  end
  if #ended > 0 then try('XACK', stream, name, unpack(ended)) end
  count(lost, name, missed)
  if group.seen or missed > 0 then
    local verdict = not patience and 'behind' or group.passed and 'idle' or 'holds'
    for _, value in ipairs({name, verdict, group.seen or 0, missed}) do report[#report + 1] = value end
  end
end
return report
