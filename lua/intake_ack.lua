-- intake_ack: (pending) -> (admitted)
--
-- Acknowledge entries of the intent stream whose intents were accepted, and delete
-- them. It begins with a removing command, so that it runs at maxmemory; run twice,
-- it changes nothing more.
--
-- KEYS
--   1 intents    stream  what producers hand in
--   2 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2.. entries  each: stream id
-- RETURNS how many entries were still in the stream

local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
-- Deleted first: what is acknowledged and left would stay for ever, unseen.
local deleted = call('XDEL', KEYS[1], unpack(ids))
call('XACK', KEYS[1], ARGV[1], unpack(ids))
return deleted
