-- consumer_forget: (idle) -> (forgotten)
--
-- Forget consumers of a group that hold nothing, of those that the caller found unseen
-- for long. One that lives after all is known again with its next read.
--
-- KEYS
--   1 stream     stream  gateway events, or what producers hand in
--   2 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2.. names    each: a consumer
-- RETURNS how many hold nothing

local stream, group, forgotten = KEYS[1], ARGV[1], 0
for at = 2, #ARGV do
  if #call('XPENDING', stream, group, '-', '+', 1, ARGV[at]) == 0 then
    call('XGROUP', 'DELCONSUMER', stream, group, ARGV[at])
    forgotten = forgotten + 1
  end
end
return forgotten
