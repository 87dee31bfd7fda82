-- lapse: (leased) -> (due)
--
-- Make leased members due that a clock set back holds longer than their lease may
-- last. The lease stays, so that its holder can still settle in time. A lease on
-- what is not scheduled any more is forgotten.
--
-- KEYS
--   1 schedule   zset  members by when they are next due
--   2 leases     hash  member -> abandoned:ttl_ms:token
--   3 never      the guard against a moving slot
-- ARGV
--   1 now        int  or '' for the server's clock
--   2.. members
-- RETURNS how many were made due

local now, lapsed = now_ms(ARGV[1]), 0

local function lapse(member)
  local lease = try('HGET', KEYS[2], member)
  local score = try('ZSCORE', KEYS[1], member)
  if not lease or fault(lease) or fault(score) then return end
  local ttl = tonumber(lease:match('^%d+:(%d+):'))
  if not score then
    try('HDEL', KEYS[2], member)
  elseif ttl and tonumber(score) > now + ttl then
    local added = try('ZADD', KEYS[1], digits(now), member)
    if not fault(added) then lapsed = lapsed + 1 end
  end
end

for at = 2, #ARGV do lapse(ARGV[at]) end
return lapsed
