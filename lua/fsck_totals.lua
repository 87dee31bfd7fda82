-- fsck_totals: (none) -> (none)
--
-- Compare the number of accepted routes with the number that are scheduled, dead or ended.
-- Missing routes vanished without a trace and are counted as purged. Surplus routes were
-- accepted without being counted.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 read       int  the difference to repair, as read; '' only checks
--   3.. channels
-- RETURNS a word, and the number accepted minus the number accounted for
--   even         they are equal
--   found        they differ; nothing was written
--   repaired     they are equal now
--   moved        the difference changed since it was read; nothing was written
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
return {failure and 'fault' or 'repaired', difference}
