-- cooldown_reserve: (none) -> (none)
--
-- Reserve the cooldown of a type for each user. Idempotent per notification. A more severe
-- notification is added beside the holder; undelivered holders are replaced. Two due times
-- conflict if they are closer than the cooldown. At most 8 reservations are kept for each
-- user: beyond that, the latest is dropped. After an error, some users may be reserved: a
-- repeat returns the same, or finds the holder undelivered.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 type       str  of the notifications
--   4 cooldown   int  ms
--   5.. items    each: user, notification or part id, severity (0 is the least), due time
--                (0 = now), reservations known to be undelivered ('' = none)
-- RETURNS for each item '' if it may be delivered, else the reservations that block it,
-- separated by commas: id, severity, due time and creation time, separated by blanks

local MOST = 8
local tag, now, cooldown = ARGV[1], now_ms(ARGV[2]), tonumber(ARGV[4])
local prefix = tag .. 'cooldown:' .. ARGV[3] .. ':'

-- Parse reservations; nil if the value is not one of this script.
local function read(held)
  local kept = {}
  for text in (held .. ','):gmatch('([^,]*),') do
    local part, rank, due = text:match('^(%x+[%.%d]*) (%d+) (%d+) %d+$')
    if not part or #text > 100 then return nil end
    kept[#kept + 1] = {text = text, part = part, rank = tonumber(rank), due = tonumber(due)}
  end
  return kept
end

-- Whether a reservation blocks an item that is due at this time.
local function blocks(one, at, due)
  if one.part:match('^%x+') == ARGV[at + 1]:match('^%x+') then return false end
  return tonumber(ARGV[at + 2]) <= one.rank and math.abs(due - one.due) < cooldown
end

-- Add a reservation to those that are not over, and keep all until the last one is over.
local function store(key, kept, made)
  local far, last, value = 0, 0, ''
  kept[#kept + 1] = made
  for i, one in ipairs(kept) do
    if one.due > last then far, last = i, one.due end
  end
  local most = #kept > MOST and far
  last = 0
  for i, one in ipairs(kept) do
    if i ~= most then
      value, last = value .. ',' .. one.text, math.max(last, one.due)
    end
  end
  call('SET', key, value:sub(2), 'PX', digits(last - now + cooldown))
end

local function reserve(at)
  local key, due = prefix .. ARGV[at], math.max(now, tonumber(ARGV[at + 3]))
  local held = try('GET', key)
  local refused = fault(held)
  -- Without the permission to read, nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, held end
  local found = not refused and (held and read(held) or not held and {})
  if not found then return '' end
  local kept, blocking, void = {}, '', ',' .. ARGV[at + 4] .. ','
  for _, one in ipairs(found) do
    -- A repeat changes nothing: the cooldown began with the first call.
    if one.part == ARGV[at + 1] then return '' end
    if one.due + cooldown > now and not void:find(',' .. one.text .. ',', 1, true) then
      kept[#kept + 1] = one
      if blocks(one, at, due) then blocking = blocking .. ',' .. one.text end
    end
  end
  if blocking ~= '' then return blocking:sub(2) end
  local text = ('%s %s %s %s'):format(ARGV[at + 1], ARGV[at + 2], digits(due), digits(now))
  store(key, kept, {text = text, due = due})
  return ''
end

for at = 5, #ARGV, 5 do
  local held, failure = reserve(at)
  if failure then return failure end
  answers[#answers + 1] = held
end
return answers
