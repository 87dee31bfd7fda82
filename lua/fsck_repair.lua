-- fsck_repair: pending | failed -> (unchanged) | dead_letter
--
-- Put routes back into the index that their states require. All that was read of a route
-- is compared first: a route that changed meanwhile is not touched. Its lease is removed
-- before anything is written, and the route leaves no index before it is in another. What
-- is of no use any more moves to the orphans.
--
-- KEYS
--   1 totals     hash
--   2 orphans    stream  members removed because their record is unusable
--   3 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 fix        str  '1' writes; '' only checks
--   4.. items    each: member, the channel whose indexes have it; as read ('' = none):
--                score, expired leases, time of death, '1' if there is a record, state;
--                as required: state ('' = unchanged), index ('schedule:<channel>',
--                'dead:<channel>', '' = none), score there ('' = now), '1' keeps lease
--                and count, why it becomes an orphan ('' = it does not)
-- RETURNS a word for each item
--   found        unchanged since it was read; nothing was written
--   repaired     it is in the right index, and in no other
--   moved        changed since it was read; nothing was written
--   fault        a write was refused; what it still needs is kept

local tag, now, fix = ARGV[1], now_ms(ARGV[2]), ARGV[3] == '1'

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

-- End the lease of a route: a score of whole milliseconds is no lease score.
local function strip(at, schedule, abandoned)
  local member, score = ARGV[at], tonumber(ARGV[at + 2])
  if ARGV[at + 10] ~= '' then return true end
  if ARGV[at + 3] ~= '' and fault(try('HDEL', abandoned, member)) then return false end
  if not score or score % 1 == 0 then return true end
  return not fault(try('ZADD', schedule, 'XX', digits(math.ceil(score)), member))
end

-- Enter the route into its index, with its new state. Return whether that succeeded.
local function enter(at, place, key, route, own)
  local member, after, score = ARGV[at], ARGV[at + 7], ARGV[at + 9]
  local before = try('ZSCORE', place, member)
  if fault(before) then return false end
  -- In an index of another channel it may be correct already.
  local mode = own and 'CH' or 'NX'
  if fault(try('ZADD', place, mode, score ~= '' and score or digits(now), member)) then return false end
  if after == '' then return true end
  if not fault(try('HSET', key, route, stamp(after, nil, now))) then
    tally('dead_lettered', 1)
    return true
  end
  if before then try('ZADD', place, before, member) else try('ZREM', place, member) end
  return false
end

local function orphan(member, reason)
  try('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'member', member, 'reason', reason)
  tally('orphaned', 1)
  if reason:find('^record_') then tally('purged', 1) end
end

local function repair(at)
  local member, channel, target = ARGV[at], ARGV[at + 1], ARGV[at + 8]
  local schedule, abandoned = tag .. 'schedule:' .. channel, tag .. 'abandoned:' .. channel
  local dead = tag .. 'dead:' .. channel
  local key = tag .. 'notification:' .. member:match('^[^/]*')
  local route, place = member:match('/(.*)$') or '', target ~= '' and tag .. target
  if not as_read(at, schedule, abandoned, dead, key, route) then return 'moved' end
  if not fix then return 'found' end
  if not strip(at, schedule, abandoned) then return 'fault' end
  local own = place == schedule or place == dead
  if place and not enter(at, place, key, route, own) then return 'fault' end
  local refused
  if ARGV[at + 2] ~= '' and place ~= schedule then refused = fault(try('ZREM', schedule, member)) end
  if ARGV[at + 4] ~= '' and place ~= dead then refused = fault(try('ZREM', dead, member)) or refused end
  if refused then return 'fault' end
  if ARGV[at + 11] ~= '' then orphan(member, ARGV[at + 11]) end
  local due = target:match('^schedule:(.*)$')
  if due then wake(tag .. 'wake:' .. due) end
  return 'repaired'
end

for at = 4, #ARGV, 12 do answers[#answers + 1] = repair(at) end
for field, by in pairs(counts) do count(KEYS[1], field, by) end
return answers
