-- intake_ack: (pending) -> (admitted)
--
-- Acknowledge entries of the intent stream whose intents were accepted, and delete them.
-- The first command removes, so the script runs at maxmemory. A repeat changes nothing.
--
-- KEYS
--   1 intents    stream  intents from producers
--   2 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2.. entries  each: stream id
-- RETURNS how many entries were still in the stream

local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
-- Deleted first: an acknowledged entry that is left in the stream would stay for ever.
local deleted = call('XDEL', KEYS[1], unpack(ids))
call('XACK', KEYS[1], ARGV[1], unpack(ids))
return deleted
