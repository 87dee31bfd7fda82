-- consumer_forget: (idle) -> (forgotten)
--
-- Remove consumers of a group that have no pending entries, from a list of consumers that
-- were idle for long. A consumer that is alive is created again by its next read.
--
-- KEYS
--   1 stream     stream  gateway events, or intents from producers
--   2 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2.. names    each: a consumer
-- RETURNS how many were removed

local stream, group, forgotten = KEYS[1], ARGV[1], 0
for at = 2, #ARGV do
  if #call('XPENDING', stream, group, '-', '+', 1, ARGV[at]) == 0 then
    call('XGROUP', 'DELCONSUMER', stream, group, ARGV[at])
    forgotten = forgotten + 1
  end
end
return forgotten
