-- route_reposition: pending | failed | dead_letter -> (unchanged)
--
-- Move members that are at a wrong position of an index to where their state requires
-- them. That ends their lease.
--
-- KEYS
--   1 schedule   zset  where they were found
--   2 leases     zset  token -> when the lease expires: the score of its members
--   3 abandoned  hash  member -> leases that expired unsettled
--   4 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 token      str  from the claim
--   3.. items    each: member, index ('schedule:<channel>' or 'dead:<channel>'), score
-- RETURNS a word for each item
--   repositioned  it is where it belongs
--   stale        the lease no longer holds it: nothing was written
--   fault        nothing was written

local tag, expiry = ARGV[1], call('ZSCORE', KEYS[2], ARGV[2])

local function reposition(member, index, score)
  local leased = try('ZSCORE', KEYS[1], member)
  if fault(leased) then return 'fault' end
  if not expiry or leased ~= expiry then return 'stale' end
  local moved = tag .. index ~= KEYS[1]
  local added = try('ZADD', tag .. index, moved and 'NX' or 'XX', score, member)
  if fault(added) then return 'fault' end
  if moved then try('ZREM', KEYS[1], member) end
  try('HDEL', KEYS[3], member)
  return 'repositioned'
end

for at = 3, #ARGV, 3 do
  answers[#answers + 1] = reposition(ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
if expiry and try('ZCOUNT', KEYS[1], expiry, expiry) == 0 then try('ZREM', KEYS[2], ARGV[2]) end
return answers
