-- fsck_scan_index: (none) -> (none)
--
-- Read a page of an index. Members that are consistent with their state are skipped; all
-- others are returned, for a closer look. Only the head of a state is known here. Of each
-- format and body, one state is returned with all members that have the same, for the
-- caller to check.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 index      str  'schedule', 'abandoned', 'dead'
--   4 channel    str
--   5 cursor     str  from the page before; '0' begins
--   6 count      int  about how many members a page has
--   7 held_ms    int  the longest delay with which a worker releases a route
-- RETURNS the next cursor, how many members were read, those to look at more closely,
-- and for each format and body one state with them and the members that have them

local tag, now, index, channel = ARGV[1], now_ms(ARGV[2]), ARGV[3], ARGV[4]
local schedule, dead = tag .. 'schedule:' .. channel, tag .. 'dead:' .. channel
local abandoned, held = tag .. 'abandoned:' .. channel, now + tonumber(ARGV[7])
local LONGEST, MOST = 65536, 1000
local members, seen, odd, bodies, kinds = {}, {}, {}, {}, {}

local function page()
  local found
  if index == 'abandoned' then found = call('HSCAN', abandoned, ARGV[5], 'COUNT', ARGV[6]) end
  if index == 'schedule' then found = call('ZSCAN', schedule, ARGV[5], 'COUNT', ARGV[6]) end
  return found or call('ZSCAN', dead, ARGV[5], 'COUNT', ARGV[6])
end

-- Return the time to live of each lease, by its score.
local function leases()
  local held_by, found = {}, call('ZRANGE', tag .. 'leases:' .. channel, 0, 9999, 'WITHSCORES')
  for i = 1, #found, 2 do
    held_by[tonumber(found[i + 1])] = tonumber(found[i]:match(':%d+:(%d+):[^:]+$'))
  end
  return held_by
end

-- Return the status and the two times of a state, if its head can be read.
local function head(state)
  if not state or fault(state) or #state > LONGEST then return nil end
  local status, times = state:sub(1, BODY - 1):match('^[12]([pfd])(%d+)$')
  if not status or #times ~= BODY - AT then return nil end
  return status, tonumber(state:sub(AT, DUE - 1)), tonumber(due_of(state))
end

local function is_timely(score, due, ttl)
  if ttl then return score <= now + ttl end
  return score >= due and score <= math.max(due, held)
end

local function is_sound(member, state, score, died, count, ttls)
  local id, home = member:match('^([0-9a-f]+%.?%d*)/([a-z][a-z0-9_]*):[%w+][%w._~:@+-]*$')
  local status, at, due = head(state)
  if home ~= channel or not status then return false end
  local rests = status == 'd'
  if rests then return died == at and not score and not count end
  if not score or died then return false end
  return is_timely(score, due, ttls[score]) and try('HEXISTS', tag .. 'notification:' .. id, 'record') == 1
end

local function sort(member, state)
  local kind = state:sub(1, 1) .. state:sub(BODY)
  if kind == '1' then return end
  if not kinds[kind] then
    kinds[kind] = {state, {}}
    bodies[#bodies + 1] = kinds[kind]
  end
  local alike = kinds[kind][2]
  alike[#alike + 1] = member
end

local function look(first, last)
  local scores = call('ZMSCORE', schedule, unpack(members, first, last))
  local deaths = call('ZMSCORE', dead, unpack(members, first, last))
  local counts, ttls = call('HMGET', abandoned, unpack(members, first, last)), leases()
  for at = 1, last - first + 1 do
    local member, score, died = members[first + at - 1], tonumber(scores[at] or nil), tonumber(deaths[at] or nil)
    local id, route = member:match('^([^/]*)/?(.*)$')
    local state = try('HGET', tag .. 'notification:' .. id, route)
    if index == 'abandoned' and score then
      -- It is in the schedule, which is scanned itself.
    elseif is_sound(member, state, score, died, counts[at], ttls) then
      sort(member, state)
    else
      odd[#odd + 1] = member
    end
  end
end

local found = page()
for i = 1, #found[2], 2 do
  local member = found[2][i]
  if not seen[member] then members[#members + 1] = member end
  seen[member] = true
end
for first = 1, #members, MOST do look(first, math.min(first + MOST - 1, #members)) end
return {found[1], #members, odd, bodies}
