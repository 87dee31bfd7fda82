-- feed_ack: (moved) -> (written)
--
-- Acknowledge entries of the backlog whose events are rows of the feed, and delete them. The first
-- command removes, so the script runs at maxmemory. A repeat changes nothing.
--
-- KEYS
--   1 feed_backlog  stream  events that were moved out of the way of trimming
--   2 never         the guard against a moving slot
-- ARGV
--   1 group      str
--   2.. entries  each: stream id
-- RETURNS how many entries were still in the backlog

local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
-- Deleted first: an acknowledged entry that is left in the backlog would stay for ever.
local deleted = call('XDEL', KEYS[1], unpack(ids))
call('XACK', KEYS[1], ARGV[1], unpack(ids))
return deleted
