-- reserve: (none) -> (none)
--
-- Let users be told of a type, and not again within its cooldown. Whoever has the
-- reservation keeps it, however often it asks; a more severe one takes it over, and so
-- does one that has found out that the holder was never delivered. Times are when the
-- notifications are due, so that what is far apart does not meet.
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

local function holds(held, at, due)
  local id, severity, when = held:match('^(%x+)%S* (%d+) (%d+) %d+$')
  if not id or id == ARGV[at + 1]:match('^%x*') then return false end
  if held == ARGV[at + 4] or tonumber(ARGV[at + 2]) > tonumber(severity) then return false end
  return math.abs(due - tonumber(when)) < cooldown
end

for at = 5, #ARGV, 5 do
  local key, due = prefix .. ARGV[at], math.max(now, tonumber(ARGV[at + 3]))
  local held = try('GET', key)
  local refused = fault(held)
  -- Somebody else's key holds nobody back; without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return held end
  if held and not refused and holds(held, at, due) then
    answers[#answers + 1] = held
  else
    -- Asked again it stays as it is: its time began with the first.
    if not held or not refused and held:match('^%x*') ~= ARGV[at + 1]:match('^%x*') then
      local made = ('%s %s %s %s'):format(ARGV[at + 1], ARGV[at + 2], digits(due), digits(now))
      call('SET', key, made, 'PX', digits(due - now + cooldown))
    end
    answers[#answers + 1] = ''
  end
end
return answers
