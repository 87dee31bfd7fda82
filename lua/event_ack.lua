-- event_ack: (pending) -> (acknowledged)
--
-- Mark events as handled and acknowledge their entries, in one step. A consumer that dies
-- before it gets the event again; one that dies after it does not. The first command
-- removes, so the script runs at maxmemory. A repeat changes nothing.
--
-- KEYS
--   1 seen       zset    event ids by when the group handled them
--   2 stream     stream  gateway events
--   3 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2 now        int  or '' for the server's clock
--   3 ttl_ms     int  how long a mark is kept
--   4 max        int  how many marks are kept
--   5.. items    each: stream id, event id
-- RETURNS how many entries were still pending

local seen, now, ttl = KEYS[1], now_ms(ARGV[2]), tonumber(ARGV[3])
local marks, ids, score = {}, {}, digits(now)
for at = 5, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
  marks[#marks + 1] = score
  marks[#marks + 1] = ARGV[at + 1]
end
call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. digits(now - ttl))
call('ZADD', seen, unpack(marks))
call('ZREMRANGEBYRANK', seen, 0, -tonumber(ARGV[4]) - 1)
call('PEXPIRE', seen, digits(ttl))
return call('XACK', KEYS[2], ARGV[1], unpack(ids))
