-- reserve: (none) -> (none)
--
-- Let users be told of a type, and not again within its cooldown. Whoever has the
-- reservation keeps it, however often it asks; a more severe one takes it over, and so
-- does one that has found out that the holder was never delivered. Times are when the
-- notifications are due, so that what is far apart does not meet. After an error some
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
--                (0 = now), the reservation that was never delivered ('' = none)
-- RETURNS for each item '' where it may be told, else the reservation that holds: id,
-- severity, due time and when it was made, with blanks between them

local tag, now, cooldown = ARGV[1], now_ms(ARGV[2]), tonumber(ARGV[4])
local prefix, answers = tag .. 'cooldown:' .. ARGV[3] .. ':', {}

-- What is not ours holds nobody back and is left alone.
local function foreign(held) return held and not held:match('^%x+%S* %d+ %d+ %d+$') end

local function holds(held, at, due)
  local id, severity, when = held:match('^(%x+)%S* (%d+) (%d+) %d+$')
  if id == ARGV[at + 1]:match('^%x*') then return false end
  if held == ARGV[at + 4] or tonumber(ARGV[at + 2]) > tonumber(severity) then return false end
  return math.abs(due - tonumber(when)) < cooldown
end

local function ask(at)
  local key, due = prefix .. ARGV[at], math.max(now, tonumber(ARGV[at + 3]))
  local held = try('GET', key)
  local refused = fault(held)
  -- Without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, held end
  if refused or foreign(held) then return '' end
  if held and holds(held, at, due) then return held end
  -- Asked again it stays as it is: its time began with the first.
  if not held or held:match('^%x*') ~= ARGV[at + 1]:match('^%x*') then
    local made = ('%s %s %s %s'):format(ARGV[at + 1], ARGV[at + 2], digits(due), digits(now))
    call('SET', key, made, 'PX', digits(due - now + cooldown))
  end
  return ''
end

for at = 5, #ARGV, 5 do
  local held, failure = ask(at)
  if failure then return failure end
  answers[#answers + 1] = held
end
return answers
