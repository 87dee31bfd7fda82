-- rate_take: (none) -> (none)
--
-- Take sends out of the rate that all processes share. The bucket is one number: when the next
-- send would be on time, were all spread evenly. What was saved up while nothing was sent is at
-- most a burst.
--
-- KEYS
--   1 rate       string  when the next send is on time, in microseconds; ends by itself
--   2 never      the guard against a moving slot
-- ARGV
--   1 now        int  or '' for the server's clock
--   2 interval   int  microseconds from one send to the next
--   3 burst      int  sends that may be saved up
--   4 wanted     int  sends to take at most
-- RETURNS how many sends may be made now; and, if none, in how many ms the next one may, else 0

local now, interval, burst, wanted = now_ms(ARGV[1]) * 1000, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = try('GET', KEYS[1])
local next_at = not fault(kept) and kept and tonumber(kept) or 0
local earliest = now - burst * interval
-- A clock that was set back must not stop the channel for as long.
if next_at > now + 1000000 + 2 * interval then next_at = now end
if next_at < earliest then next_at = earliest end

local taken = math.min(wanted, math.floor((now - next_at) / interval))
if taken < 1 then return {0, math.ceil((next_at + interval - now) / 1000)} end
next_at = next_at + taken * interval
call('SET', KEYS[1], digits(next_at), 'PX', digits(math.ceil((burst + 1) * interval / 1000) + 1000))
return {taken, 0}
