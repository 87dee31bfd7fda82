-- channel_pause: (none) -> (none)
--
-- Stop claiming a channel. Routes are still accepted, and leased routes are settled.
--
-- KEYS
--   1 paused     set    paused channels
--   2 pauses     hash   channel -> when it was paused, in ms
--   3 never      the guard against a moving slot
-- ARGV
--   1 channel    str
--   2 now        int  or '' for the server's clock
-- RETURNS a word
--   paused       it was not paused before
--   already      it was paused before

local now = digits(now_ms(ARGV[2]))
if call('SADD', KEYS[1], ARGV[1]) == 0 then return 'already' end
try('HSET', KEYS[2], ARGV[1], now)
return 'paused'
