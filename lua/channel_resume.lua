-- channel_resume: (none) -> (none)
--
-- Claim a paused channel again and wake a worker for it.
--
-- KEYS
--   1 paused     set   paused channels
--   2 wake       list  wakes a blocked worker
--   3 pauses     hash  channel -> when it was paused, in ms
--   4 never      the guard against a moving slot
-- ARGV
--   1 channel    str
-- RETURNS a word
--   resumed      it was paused
--   already      it was not paused

local removed = call('SREM', KEYS[1], ARGV[1])
try('HDEL', KEYS[3], ARGV[1])
wake(KEYS[2])
return removed == 1 and 'resumed' or 'already'
