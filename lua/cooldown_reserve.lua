-- cooldown_reserve: (none) -> (none)
--
-- Let users be told of a type, and not again within its cooldown. Whoever has a
-- reservation keeps it, however often it asks; a more severe one gets its own beside it,
-- and one that has found out that holders were never delivered takes theirs over. Times
-- are when the notifications are due: what is far apart does not meet, and each keeps
-- its own. Of many that are kept the one furthest ahead is given up. After an error some
-- may be reserved: they are given again, or found to have come to nothing.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 type       str  of the notifications
--   4 cooldown   int  ms
--   5.. items    each: user, notification or part id, severity (0 is the least), due time
--                (0 = now), the reservations that were never delivered ('' = none)
-- RETURNS for each item '' where it may be told, else the reservations that hold, with
-- commas between them: id, severity, due time and when it was made, with blanks between

local MOST = 8
local tag, now, cooldown = ARGV[1], now_ms(ARGV[2]), tonumber(ARGV[4])
local prefix, answers = tag .. 'cooldown:' .. ARGV[3] .. ':', {}

-- Take reservations apart; nil where they are none of ours.
local function read(held)
  local kept = {}
  for text in (held .. ','):gmatch('([^,]*),') do
    local part, rank, due = text:match('^(%x+[%.%d]*) (%d+) (%d+) %d+$')
    if not part or #text > 100 then return nil end
    kept[#kept + 1] = {text = text, part = part, rank = tonumber(rank), due = tonumber(due)}
  end
  return kept
end

-- Whether one holds back what is due then.
local function holds(one, at, due)
  if one.part:match('^%x+') == ARGV[at + 1]:match('^%x+') then return false end
  return tonumber(ARGV[at + 2]) <= one.rank and math.abs(due - one.due) < cooldown
end

-- Add to those that are not over, and keep them until the last one is.
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

local function ask(at)
  local key, due = prefix .. ARGV[at], math.max(now, tonumber(ARGV[at + 3]))
  local held = try('GET', key)
  local refused = fault(held)
  -- Without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, held end
  local found = not refused and (held and read(held) or not held and {})
  if not found then return '' end
  local kept, holding, void = {}, '', ',' .. ARGV[at + 4] .. ','
  for _, one in ipairs(found) do
    -- Asked again it stays as it is: its time began with the first.
    if one.part == ARGV[at + 1] then return '' end
    if one.due + cooldown > now and not void:find(',' .. one.text .. ',', 1, true) then
      kept[#kept + 1] = one
      if holds(one, at, due) then holding = holding .. ',' .. one.text end
    end
  end
  if holding ~= '' then return holding:sub(2) end
  local text = ('%s %s %s %s'):format(ARGV[at + 1], ARGV[at + 2], digits(due), digits(now))
  store(key, kept, {text = text, due = due})
  return ''
end

for at = 5, #ARGV, 5 do
  local held, failure = ask(at)
  if failure then return failure end
  answers[#answers + 1] = held
end
return answers
