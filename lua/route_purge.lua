-- route_purge: dead_letter -> purged
--
-- Give up dead letters. The first command removes, so the script runs at maxmemory. A dead
-- letter without a state only leaves the index.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 keep_ms    int  how long to keep a notification once no route needs it
--   4.. items    each: id, route id, the state as read ('' = none), the state to write
-- RETURNS a word for each item
--   purged       it is no longer a dead letter
--   gone         it was not a dead letter
--   changed      its state differs from the one that was read: read it again
--   fault        nothing was written

local tag, now, purged = ARGV[1], now_ms(ARGV[2]), 0

local function purge(id, route, before, after)
  local key, channel, member = tag .. 'notification:' .. id, route:match('^[^:]*'), id .. '/' .. route
  local dead = tag .. 'dead:' .. channel
  local died = try('ZSCORE', dead, member)
  if not died then return 'gone' end
  if fault(died) then return 'fault' end
  local state = try('HGET', key, route)
  if fault(state) or (state or '') ~= before then return 'changed' end
  if fault(try('ZREM', dead, member)) then return 'fault' end
  if state then
    if fault(try('HSET', key, route, stamp(after, nil, now))) then
      try('ZADD', dead, died, member)
      return 'fault'
    end
    try('ZREM', tag .. 'schedule:' .. channel, member)
    try('HDEL', tag .. 'abandoned:' .. channel, member)
    local left = try('HINCRBY', key, 'open', -1)
    if not fault(left) and left <= 0 then try('PEXPIRE', key, ARGV[3]) end
  end
  purged = purged + 1
  return 'purged'
end

for at = 4, #ARGV, 4 do
  answers[#answers + 1] = purge(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
count(KEYS[1], 'purged', purged)
return answers
