-- intake_reject: (pending) -> (rejected)
--
-- Move an entry of the intent stream that cannot be accepted to the rejects, with the
-- reason, acknowledge it and delete it. The text of its intent is copied here, byte for
-- byte; of a text that is too long, only the beginning and the length are kept. The first
-- command removes, so the script runs at maxmemory.
--
-- KEYS
--   1 intents    stream  intents from producers
--   2 rejects    stream  entries that could not be accepted
--   3 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2 stream id  str
--   3 code       str
--   4 field      str
--   5 message    str
--   6 deliveries int  how often it was delivered
--   7 longest    int  bytes; a longer intent is cut
--   8 max        int  how many rejects are kept
-- RETURNS a word, and how many rejects were trimmed
--   rejected     it is among the rejects now
--   stale        it was not pending: nothing was written
--   gone         it was trimmed from the stream; it is acknowledged

local intents, rejects, group, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local longest, beginning = tonumber(ARGV[7]), 1024

if #call('XPENDING', intents, group, id, id, 1) == 0 then return {'stale', 0} end
local entry = call('XRANGE', intents, id, id)[1]
if not entry then
  call('XACK', intents, group, id)
  return {'gone', 0}
end

local text
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'intent' then
    text = entry[2][i + 1]
    break
  end
end
local fields = {'entry_id', id, 'code', ARGV[3], 'field', ARGV[4], 'message', ARGV[5],
  'deliveries', ARGV[6], 'at_ms', digits(now_ms(''))}
if text and #text > longest then
  fields[#fields + 1] = 'bytes'
  fields[#fields + 1] = #text
  text = text:sub(1, beginning)
end
if text then
  fields[#fields + 1] = 'intent'
  fields[#fields + 1] = text
end

local fallen = call('XTRIM', rejects, 'MAXLEN', '~', ARGV[8])
local copy = call('XADD', rejects, '*', unpack(fields))
local deleted = try('XDEL', intents, id)
if fault(deleted) then
  try('XDEL', rejects, copy)
  return deleted
end
-- If this fails, the next XCLAIM drops the pending entry, because it is deleted.
try('XACK', intents, group, id)
return {'rejected', fallen}
