-- route_replay: dead_letter -> pending
--
-- Make dead letters due now, in their next generation. One that is no longer a dead
-- letter, or that changed since it was read, is not touched, so that a second replay
-- moves nothing.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3.. items    each: id, route id, the state as read, the state to write
-- RETURNS a word for each item
--   replayed     it is due now
--   gone         it is no longer a dead letter
--   changed      its state differs from the one that was read: read it again
--   fault        nothing was written

local tag, now, replayed, woken = ARGV[1], now_ms(ARGV[2]), 0, {}

local function replay(id, route, before, after)
  local key, channel, member = tag .. 'notification:' .. id, route:match('^[^:]*'), id .. '/' .. route
  local dead = tag .. 'dead:' .. channel
  local died = try('ZSCORE', dead, member)
  if not died then return 'gone' end
  if fault(died) then return 'fault' end
  if try('HGET', key, route) ~= before then return 'changed' end
  if fault(try('HSET', key, route, stamp(after, now, now))) then return 'fault' end
  try('HDEL', tag .. 'abandoned:' .. channel, member)
  local failure = fault(try('ZADD', tag .. 'schedule:' .. channel, digits(now), member))
  failure = failure or fault(try('ZREM', dead, member))
  if failure then
    try('HSET', key, route, before)
    try('ZREM', tag .. 'schedule:' .. channel, member)
    return 'fault'
  end
  try('PERSIST', key)
  replayed = replayed + 1
  woken[channel] = true
  return 'replayed'
end

for at = 3, #ARGV, 4 do
  answers[#answers + 1] = replay(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
count(KEYS[1], 'replayed', replayed)
for channel in pairs(woken) do wake(tag .. 'wake:' .. channel) end
return answers
