-- listing_read: (none) -> (none)
--
-- Read notifications for a list: their records, the number of open routes, and the statuses
-- of some or all of their routes. A value that is larger than allowed is not read. The
-- reply ends early after many bytes or routes, but never before the first notification.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 largest    int  a larger record is not read
--   3 named      str  how many routes are named, or '*' for all of each notification
--   4.. names    these, then the ids
-- RETURNS for each of the first ids a list, empty if the notification is gone, else: the record
-- ('' = none that can be read), open, the due time set later for the whole notification, then
-- status letters ('?' = unreadable), each with the number of routes that have it

local tag, largest, all = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '*'
local MOST_BYTES, MOST_ROUTES, MOST_FIELDS, LONGEST = 1048576, 1000, 4000, 65536
local found, names, bytes, routes = {}, {}, 0, 0

local function routes_of(key)
  if not all then return names end
  local size, own = call('HLEN', key), {}
  for _, name in ipairs(size <= MOST_FIELDS and call('HKEYS', key) or {}) do
    if name:find(':', 1, true) then own[#own + 1] = name end
  end
  return own
end

local function statuses(key)
  local small, numbers, flat = {}, {}, {}
  local function see(status) numbers[status] = (numbers[status] or 0) + 1 end
  for _, name in ipairs(routes_of(key)) do
    local size = call('HSTRLEN', key, name)
    if size > LONGEST then see('?') elseif size > 0 then small[#small + 1] = name end
  end
  routes = routes + #small
  for _, state in ipairs(#small > 0 and call('HMGET', key, unpack(small)) or {}) do
    see(state:match('^[12](%a)') or '?')
  end
  for status, number in pairs(numbers) do
    flat[#flat + 1] = status
    flat[#flat + 1] = number
  end
  return flat
end

local function look(key)
  local marks = try('HMGET', key, 'open', 'due')
  local reason = fault(marks)
  if reason and reason:find('WRONGTYPE', 1, true) then return {'', '', ''} end
  if reason then error(reason, 0) end
  local size = call('HSTRLEN', key, 'record')
  if size == 0 and not marks[1] and call('HLEN', key) == 0 then return {} end
  local record = size <= largest and call('HGET', key, 'record') or ''
  bytes = bytes + #record
  return {record, marks[1] or '', marks[2] or '', unpack(statuses(key))}
end

local at = 4
for i = 1, all and 0 or tonumber(ARGV[3]) do
  names[i], at = ARGV[at], at + 1
end
while ARGV[at] and bytes < MOST_BYTES and routes < MOST_ROUTES do
  found[#found + 1] = look(tag .. 'notification:' .. ARGV[at])
  at = at + 1
end
return found
