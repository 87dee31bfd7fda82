-- route_cancel: pending | failed -> cancelled
--
-- Cancel routes. A route leaves the schedule first, and with it its lease, so that no
-- worker can settle a cancelled route. A route that changed since it was read is not
-- touched. The mark makes parts of the notification that arrive later cancelled, too.
--
-- KEYS
--   1 notification hash
--   2 totals     hash
--   3 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 id         str  of the notification
--   4 keep_ms    int  how long to keep the notification once no route needs it
--   5 mark       str  '1' marks the notification, even one that does not exist yet
--   6.. routes   each: route id, the state as read, the state to write
-- RETURNS a word for each route, after 'known' or 'unknown' for the notification
--   known        the notification exists
--   unknown      it does not
--   cancelled    the route is cancelled
--   changed      its state differs from the one that was read: read it again
--   fault        not done: the route is unchanged

local tag, now, id = ARGV[1], now_ms(ARGV[2]), ARGV[3]
local known = call('HEXISTS', KEYS[1], 'open') == 1
local cancelled = 0
answers = {known and 'known' or 'unknown'}

local function cancel(route, before, after)
  local state = try('HGET', KEYS[1], route)
  if fault(state) then return 'fault' end
  if state ~= before then return 'changed' end
  local channel, member = route:match('^[^:]*'), id .. '/' .. route
  local schedule = tag .. 'schedule:' .. channel
  local score = try('ZSCORE', schedule, member)
  if fault(score) or fault(try('ZREM', schedule, member)) then return 'fault' end
  if fault(try('HSET', KEYS[1], route, stamp(after, nil, now))) then
    if score then try('ZADD', schedule, score, member) end
    return 'fault'
  end
  try('HDEL', tag .. 'abandoned:' .. channel, member)
  cancelled = cancelled + 1
  return 'cancelled'
end

if ARGV[5] == '1' then
  call('HSET', KEYS[1], 'cancelled', '1')
  if not known then try('PEXPIRE', KEYS[1], ARGV[4]) end
end
for at = 6, #ARGV, 3 do
  answers[#answers + 1] = cancel(ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
if cancelled > 0 then
  count(KEYS[2], 'cancelled', cancelled)
  local left = try('HINCRBY', KEYS[1], 'open', -cancelled)
  if not fault(left) and left <= 0 then try('PEXPIRE', KEYS[1], ARGV[4]) end
end
return answers
