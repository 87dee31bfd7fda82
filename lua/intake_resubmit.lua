-- intake_resubmit: (rejected) -> (waiting)
--
-- Put the intent of a reject back into the intent stream, and remove the reject. An intent
-- that was delivered more than once may have been accepted before: it keeps its entry id,
-- by which it is then found.
--
-- KEYS
--   1 rejects    stream  entries that could not be accepted
--   2 intents    stream  intents from producers
--   3 never      the guard against a moving slot
-- ARGV
--   1 reject id  str
-- RETURNS a word
--   moved        it waits in the intent stream
--   gone         no such reject: nothing was written
--   bare         its entry has no intent: nothing was written
--   cut          only the beginning of its intent is there: nothing was written

local rejects, intents, id = KEYS[1], KEYS[2], ARGV[1]

local entry = call('XRANGE', rejects, id, id)[1]
if not entry then return 'gone' end
local kept = {}
for i = 1, #entry[2], 2 do kept[entry[2][i]] = entry[2][i + 1] end
if not kept.intent then return 'bare' end
if kept.bytes then return 'cut' end

local fields = {'intent', kept.intent}
if (tonumber(kept.deliveries or '') or 1) > 1 and kept.entry_id then
  fields[#fields + 1] = 'entry_id'
  fields[#fields + 1] = kept.entry_id
end
local made = call('XADD', intents, '*', unpack(fields))
local removed = try('XDEL', rejects, id)
if fault(removed) then
  try('XDEL', intents, made)
  return removed
end
return 'moved'
