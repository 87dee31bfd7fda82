-- lapse: (leased) -> pending | failed
--
-- Make leased members due that a clock set back holds longer than their lease may
-- last. The lease stays, so that its holder can still settle in time.
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
for at = 2, #ARGV do
  local lease = call('HGET', KEYS[2], ARGV[at])
  local score = tonumber(call('ZSCORE', KEYS[1], ARGV[at]) or '')
  local ttl = lease and tonumber(lease:match('^%d+:(%d+):'))
  if not score and lease then
    try('HDEL', KEYS[2], ARGV[at])
  elseif score and ttl and score > now + ttl then
    call('ZADD', KEYS[1], digits(now), ARGV[at])
    lapsed = lapsed + 1
  end
end
return lapsed
