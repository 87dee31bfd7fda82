-- route_reschedule: pending | failed -> (unchanged)
--
-- Give routes another due time, each with the delay of its channel. A route moves on the
-- schedule first, which ends its lease, so that no worker can settle it before its new
-- time. A route that changed since it was read is not touched. A due time in the past means
-- now.
--
-- KEYS
--   1 notification hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 id         str  of the notification
--   4 due        int  the new due time of the notification
--   5 mark       str  '1' stores it as the due time of the whole notification
--   6.. routes   each: route id, the state as read, the state to write, ms that it is
--                later than the notification
-- RETURNS a word for each route
--   moved        it is due at that time, or later by its delay
--   changed      its state differs from the one that was read: read it again
--   fault        not done: the route is unchanged

local tag, now, id = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local due = math.max(now, tonumber(ARGV[4]))
-- Channel -> when the first of its routes that moved is due.
local moved, any = {}, false

local function move(route, before, after, delay)
  local state = try('HGET', KEYS[1], route)
  if fault(state) then return 'fault' end
  if state ~= before then return 'changed' end
  local channel, member = route:match('^[^:]*'), id .. '/' .. route
  local schedule, at = tag .. 'schedule:' .. channel, due + tonumber(delay)
  local score = try('ZSCORE', schedule, member)
  if fault(score) or fault(try('ZADD', schedule, digits(at), member)) then return 'fault' end
  if fault(try('HSET', KEYS[1], route, stamp(after, at, now))) then
    if score then try('ZADD', schedule, score, member) else try('ZREM', schedule, member) end
    return 'fault'
  end
  moved[channel], any = math.min(at, moved[channel] or at), true
  return 'moved'
end

for at = 6, #ARGV, 4 do
  answers[#answers + 1] = move(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
if any and ARGV[5] == '1' then try('HSET', KEYS[1], 'due', digits(due)) end
for channel, at in pairs(moved) do
  local head = try('ZRANGE', tag .. 'schedule:' .. channel, 0, 0, 'WITHSCORES')
  if at <= now or not fault(head) and head[2] and tonumber(head[2]) >= at then
    wake(tag .. 'wake:' .. channel)
  end
end
return answers
