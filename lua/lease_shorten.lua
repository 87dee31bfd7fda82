-- lease_shorten: (leased) -> (leased)
--
-- Shorten leases that last longer than their time to live, which happens when a clock was
-- set back. Their members move along, so that the holder can still settle in time.
--
-- KEYS
--   1 schedule   zset  members by when they are next due
--   2 leases     zset  token -> when the lease expires: the score of its members
--   3 never      the guard against a moving slot
-- ARGV
--   1 now        int  or '' for the server's clock
-- RETURNS how many leases were shortened

local now, shortened = now_ms(ARGV[1]), 0

-- The fraction of a lease score identifies the lease: docs/decisions/0001-one-lease-per-claim.md
local function shorten(token, score, ttl)
  local members, taken, stray = try('ZRANGEBYSCORE', KEYS[1], score, score, 'LIMIT', 0, 256), nil, nil
  local there, back, expiry, to = {}, {}, tonumber(score) - math.ceil(score - now - ttl), nil
  repeat -- a whole number of ms earlier: a score without a fraction is no lease score
    to, expiry = string.format('%.17g', expiry), expiry - 1
    taken, stray = try('ZCOUNT', KEYS[2], to, to), try('ZCOUNT', KEYS[1], to, to)
    if fault(members) or fault(taken) or fault(stray) then return end
  until taken + stray == 0
  for i, member in ipairs(members) do
    there[2 * i - 1], there[2 * i] = to, member
    back[2 * i - 1], back[2 * i] = score, member
  end
  if #members > 0 and fault(try('ZADD', KEYS[1], unpack(there))) then return end
  if fault(try('ZADD', KEYS[2], to, token)) then
    if #members > 0 then try('ZADD', KEYS[1], unpack(back)) end
    return
  end
  shortened = shortened + 1
end

local leases = call('ZREVRANGEBYSCORE', KEYS[2], '+inf', '(' .. digits(now), 'WITHSCORES', 'LIMIT', 0, 64)
for i = 1, #leases, 2 do
  local ttl = tonumber(leases[i]:match(':%d+:(%d+):[^:]+$'))
  if ttl and tonumber(leases[i + 1]) > now + ttl then shorten(leases[i], leases[i + 1], ttl) end
end
return shortened
