-- fsck_totals: (none) -> (none)
--
-- Compare what was accepted with what became of it: scheduled, dead, or ended. What
-- is missing has vanished with every trace and is counted as purged; what is too many
-- was accepted without being counted.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 read       int  the difference to mend, as read; '' only looks
--   3.. channels
-- RETURNS a word, and by how many more were accepted than are accounted for
--   even         nothing is missing
--   found        they differ; nothing was written
--   mended       they are even now
--   moved        the difference is not the one that was read; nothing was written
--   fault        the write was refused

local tag, read = ARGV[1], ARGV[2]
local ENDS = {'published', 'cancelled', 'expired', 'skipped', 'purged'}

local function total(field) return tonumber(call('HGET', KEYS[1], field) or 0) or 0 end

local difference = total('accepted')
for _, field in ipairs(ENDS) do difference = difference - total(field) end
for at = 3, #ARGV do
  difference = difference - call('ZCARD', tag .. 'schedule:' .. ARGV[at]) - call('ZCARD', tag .. 'dead:' .. ARGV[at])
end

if difference == 0 then return {'even', 0} end
if read == '' then return {'found', difference} end
if tonumber(read) ~= difference then return {'moved', difference} end
local field = difference > 0 and 'purged' or 'accepted'
local failure = fault(try('HINCRBY', KEYS[1], field, digits(math.abs(difference))))
return {failure and 'fault' or 'mended', difference}
