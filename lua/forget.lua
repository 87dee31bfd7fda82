-- forget: (idle) -> (forgotten)
--
-- Forget readers of the intent stream that were not seen for long and hold nothing.
-- One that lives after all is known again with its next read.
--
-- KEYS
--   1 intents    stream  what producers hand in
--   2 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2 idle_ms    int
-- RETURNS how many were forgotten

local forgotten = 0
for _, reader in ipairs(call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local told = {}
  for i = 1, #reader, 2 do told[reader[i]] = reader[i + 1] end
  if told.pending == 0 and told.idle > tonumber(ARGV[2]) then
    call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], told.name)
    forgotten = forgotten + 1
  end
end
return forgotten
