-- fsck_recount: (none) -> (none)
--
-- Count the routes that need a notification, and set or remove its time to live: it
-- expires if no route needs it. The count is taken here, so that no transition comes in
-- between. A notification that changed since it was read is not touched.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 fix        str  '1' writes; '' only checks
--   3 keep_ms    int  how long to keep a notification that no route needs
--   4.. items    each: id, 'open' as read ('' = none), how many routes need it, '1' if it
--                expires
-- RETURNS a word for each item
--   found        unchanged since it was read; nothing was written
--   repaired     count and time to live are correct now
--   moved        changed since it was read; nothing was written
--   fault        a write was refused

local tag, fix, keep = ARGV[1], ARGV[2] == '1', ARGV[3]
local MOST = 4000

local function needing(key)
  local names, routes, needed = try('HKEYS', key), {}, 0
  if fault(names) then return nil end
  for _, name in ipairs(names) do
    if name:find(':', 1, true) then routes[#routes + 1] = name end
  end
  if #routes == 0 then return 0 end
  if #routes > MOST then return nil end
  local states = try('HMGET', key, unpack(routes))
  if fault(states) then return nil end
  for _, state in ipairs(states) do
    if state and state:find('^[12][pfd]') then needed = needed + 1 end
  end
  return needed
end

local function recount(id, open, needed, expires)
  local key = tag .. 'notification:' .. id
  local stored, ttl = try('HGET', key, 'open'), try('PTTL', key)
  if fault(stored) or fault(ttl) or ttl == -2 then return 'moved' end
  if (stored or '') ~= open or (ttl >= 0) ~= expires or needing(key) ~= needed then return 'moved' end
  if not fix then return 'found' end
  if needed > 0 and expires and fault(try('PERSIST', key)) then return 'fault' end
  if tonumber(open) ~= needed and fault(try('HSET', key, 'open', digits(needed))) then return 'fault' end
  if needed == 0 and not expires and fault(try('PEXPIRE', key, keep)) then return 'fault' end
  return 'repaired'
end

for at = 4, #ARGV, 4 do
  answers[#answers + 1] = recount(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3] == '1')
end
return answers
