-- fsck_scan_notifications: (none) -> (none)
--
-- Read a page of notifications. One is skipped if it counts its open routes correctly, all
-- of them are in an index, and it expires if none is open. All others are returned, for a
-- closer look.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 cursor     str  from the page before; '0' begins, '' scans no further
--   3 pattern    str  of the keys of the notifications of this shard
--   4 count      int  about how many keys a page has
--   5.. ids      those left from the page before
-- RETURNS the next cursor, the ids that were read, how many routes they have, the ids to
-- look at more closely, the channels of their routes, and the ids that are left

local tag, cursor = ARGV[1], ARGV[2]
local prefix, MOST_FIELDS, ENOUGH = tag .. 'notification:', 4000, 1000
local looked, routes, odd, channels, left = {}, 0, {}, {}, {}
local met, known = {}, {}

local function meet(id)
  if not met[id] then met[#met + 1], met[id] = id, true end
end

local function is_indexed(id, route, status)
  local channel = route:match('^([a-z][a-z0-9_]*):')
  if not channel then return false end
  if not known[channel] then channels[#channels + 1], known[channel] = channel, true end
  local index = status == 'd' and 'dead:' or 'schedule:'
  local score = try('ZSCORE', tag .. index .. channel, id .. '/' .. route)
  return score and not fault(score)
end

local function states_of(key)
  local size, names = try('HLEN', key), {}
  if fault(size) or size > MOST_FIELDS then return nil end
  for _, name in ipairs(try('HKEYS', key)) do
    if name:find(':', 1, true) then names[#names + 1] = name end
  end
  routes = routes + #names
  if #names == 0 then return names, names end
  local states = try('HMGET', key, unpack(names))
  return not fault(states) and names, states
end

local function is_sound(id)
  local key, needing = prefix .. id, 0
  local names, states = states_of(key)
  if not names then return false end
  for i, name in ipairs(names) do
    local status = states[i] and states[i]:match('^[12]([pfdPDcesx])')
    if not status then return false end
    if status:find('[pfd]') then
      needing = needing + 1
      if not is_indexed(id, name, status) then return false end
    end
  end
  local open, ttl = try('HGET', key, 'open') or '0', try('PTTL', key)
  if fault(open) or fault(ttl) or not open:find('^%d+$') then return false end
  return tonumber(open) == needing and (needing > 0) == (ttl == -1)
end

for at = 5, #ARGV do meet(ARGV[at]) end
if cursor ~= '' then
  local page = call('SCAN', cursor, 'MATCH', ARGV[3], 'COUNT', ARGV[4])
  cursor = page[1]
  for _, key in ipairs(page[2]) do meet(key:sub(#prefix + 1)) end
end
for _, id in ipairs(met) do
  if routes > ENOUGH then
    left[#left + 1] = id
  else
    looked[#looked + 1] = id
    if not is_sound(id) then odd[#odd + 1] = id end
  end
end
return {cursor, looked, routes, odd, channels, left}
