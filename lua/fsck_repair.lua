-- fsck_repair: pending | failed -> (unchanged) | dead_letter
--
-- Put routes back where their states say. All that was read of a route is compared
-- first, so that what others moved meanwhile is left to them. Its lease goes before
-- anything is written, and it leaves no index before it stands in another. What has
-- no use any more goes to the orphans.
--
-- KEYS
--   1 totals     hash
--   2 orphans    stream  what was removed because its record could not be used
--   3 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 fix        str  '1' writes; '' only looks
--   4.. items    each: member, the channel whose indexes have it; as read ('' = none):
--                score, how often it was left behind, time of death, '1' where there
--                is a record, state; as wanted: state ('' = as it is), index
--                ('schedule:<channel>', 'dead:<channel>', '' = none), score there ('' =
--                now), '1' keeps lease and count, why it is set aside ('' = it is not)
-- RETURNS a word for each item
--   found        it is as it was read; nothing was written
--   mended       it stands where it belongs, and nowhere else
--   moved        it is not as it was read; nothing was written
--   fault        a write was refused; what it still needs is where it was

local tag, now, fix = ARGV[1], now_ms(ARGV[2]), ARGV[3] == '1'
local counts = {}

local function tally(field) counts[field] = (counts[field] or 0) + 1 end

local function same_number(read, given)
  if fault(read) then return false end
  if not read then return given == '' end
  return tonumber(read) == tonumber(given)
end

local function same_bytes(read, given)
  local reason = fault(read)
  if reason then return given == '' and reason:find('WRONGTYPE', 1, true) ~= nil end
  return (read or '') == given
end

local function as_read(at, schedule, abandoned, dead, key, route)
  local member = ARGV[at]
  local known = try('HEXISTS', key, 'record')
  return same_number(try('ZSCORE', schedule, member), ARGV[at + 2])
    and same_bytes(try('HGET', abandoned, member), ARGV[at + 3])
    and same_number(try('ZSCORE', dead, member), ARGV[at + 4])
    and same_bytes(known == 1 and '1' or known ~= 0 and known, ARGV[at + 5])
    and same_bytes(try('HGET', key, route), ARGV[at + 6])
end

-- End the lease under which a route may be: at a whole millisecond it has none.
local function strip(at, schedule, abandoned)
  local member, score = ARGV[at], tonumber(ARGV[at + 2])
  if ARGV[at + 10] ~= '' then return true end
  if ARGV[at + 3] ~= '' and fault(try('HDEL', abandoned, member)) then return false end
  if not score or score % 1 == 0 then return true end
  return not fault(try('ZADD', schedule, 'XX', digits(math.ceil(score)), member))
end

-- Enter the route where it belongs, with its new state; answer whether that was done.
local function enter(at, place, key, route, ours)
  local member, after, score = ARGV[at], ARGV[at + 7], ARGV[at + 9]
  local before = try('ZSCORE', place, member)
  if fault(before) then return false end
  -- In an index of another channel it may stand rightly already.
  local mode = ours and 'CH' or 'NX'
  if fault(try('ZADD', place, mode, score ~= '' and score or digits(now), member)) then return false end
  if after == '' then return true end
  if not fault(try('HSET', key, route, stamp(after, nil, now))) then
    tally('dead_lettered')
    return true
  end
  if before then try('ZADD', place, before, member) else try('ZREM', place, member) end
  return false
end

local function set_aside(member, reason)
  try('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'member', member, 'reason', reason)
  tally('orphaned')
  if reason:find('^record_') then tally('purged') end
end

local function mend(at)
  local member, channel, target = ARGV[at], ARGV[at + 1], ARGV[at + 8]
  local schedule, abandoned = tag .. 'schedule:' .. channel, tag .. 'abandoned:' .. channel
  local dead = tag .. 'dead:' .. channel
  local key = tag .. 'notification:' .. member:match('^[^/]*')
  local route, place = member:match('/(.*)$') or '', target ~= '' and tag .. target
  if not as_read(at, schedule, abandoned, dead, key, route) then return 'moved' end
  if not fix then return 'found' end
  if not strip(at, schedule, abandoned) then return 'fault' end
  local ours = place == schedule or place == dead
  if place and not enter(at, place, key, route, ours) then return 'fault' end
  local refused
  if ARGV[at + 2] ~= '' and place ~= schedule then refused = fault(try('ZREM', schedule, member)) end
  if ARGV[at + 4] ~= '' and place ~= dead then refused = fault(try('ZREM', dead, member)) or refused end
  if refused then return 'fault' end
  if ARGV[at + 11] ~= '' then set_aside(member, ARGV[at + 11]) end
  local due = target:match('^schedule:(.*)$')
  if due then wake(tag .. 'wake:' .. due) end
  return 'mended'
end

local answers = {}
for at = 4, #ARGV, 12 do answers[#answers + 1] = mend(at) end
for field, by in pairs(counts) do count(KEYS[1], field, by) end
return answers
