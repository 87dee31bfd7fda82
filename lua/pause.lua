-- pause: (none) -> (none)
--
-- Stop claiming a channel. Routes keep being accepted; what is leased is settled.
--
-- KEYS
--   1 paused     set    paused channels
--   2 never      the guard against a moving slot
-- ARGV
--   1 channel    str
-- RETURNS a word
--   paused       it was not paused before
--   already      it was

return call('SADD', KEYS[1], ARGV[1]) == 1 and 'paused' or 'already'
