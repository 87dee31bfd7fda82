-- route_reposition: pending | failed | dead_letter -> (unchanged)
--
-- Put members that stand at a wrong place of an index where their state says. That
-- ends their lease.
--
-- KEYS
--   1 schedule   zset  where they were found
--   2 leases     zset  token -> when the lease lapses, the score of its members
--   3 abandoned  hash  member -> how often it was left behind
--   4 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 token      str  from the claim
--   3.. items    each: member, index ('schedule:<channel>' or 'dead:<channel>'), score
-- RETURNS a word for each item
--   healed       it stands where it belongs
--   stale        the lease has moved on: nothing was written
--   fault        nothing was written

local tag, answers, lapses = ARGV[1], {}, call('ZSCORE', KEYS[2], ARGV[2])

local function heal(member, index, score)
  local leased = try('ZSCORE', KEYS[1], member)
  if fault(leased) then return 'fault' end
  if not lapses or leased ~= lapses then return 'stale' end
  local moved = tag .. index ~= KEYS[1]
  local added = try('ZADD', tag .. index, moved and 'NX' or 'XX', score, member)
  if fault(added) then return 'fault' end
  if moved then try('ZREM', KEYS[1], member) end
  try('HDEL', KEYS[3], member)
  return 'healed'
end

for at = 3, #ARGV, 3 do
  answers[#answers + 1] = heal(ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
if lapses and try('ZCOUNT', KEYS[1], lapses, lapses) == 0 then try('ZREM', KEYS[2], ARGV[2]) end
return answers
