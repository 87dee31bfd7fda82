-- feed_attend: (none) -> (none)
--
-- Report that a writer of the feed lives, and count what its group keeps the gateway stream from
-- being trimmed by: the entries from its oldest pending one on, else those it was not given. What
-- lies up to an entry that was counted before is left out, so that each entry is counted once. The
-- first write removes, so the script runs at maxmemory.
--
-- KEYS
--   1 stream        stream  gateway events
--   2 feed_backlog  stream  events that were moved out of the way of trimming
--   3 feed_writers  zset    writer -> when it reported last, in ms
--   4 never         the guard against a moving slot
-- ARGV
--   1 group      str
--   2 now        int  or '' for the server's clock
--   3 writer     str  '' = only count
--   4 kept_ms    int  for how long a writer that reports no more is remembered
--   5 counted    str  id of the last entry that was counted, or ''
--   6 most       int  entries to count
--   7 bytes      int  about how many bytes of them to read
-- RETURNS now, the length of the backlog, when a writer reported last or '', the position of the
-- group or '' without one, 1 if the count goes on from the entry counted before, the number of
-- entries counted, the id of the last of them or '', 1 if there may be more

local stream, group, now, writer = KEYS[1], ARGV[1], now_ms(ARGV[2]), ARGV[3]
local counted, most, bytes = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local function before(a, b)
  local a_ms, a_seq = a:match('(%d+)-(%d+)')
  local b_ms, b_seq = b:match('(%d+)-(%d+)')
  if tonumber(a_ms) ~= tonumber(b_ms) then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

-- The position of the group, and where what it still has begins.
local function position()
  local found = try('XINFO', 'GROUPS', stream)
  for _, flat in ipairs(fault(found) and {} or found) do
    local info = {}
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if info.name == group then
      local oldest = info.pending > 0 and call('XPENDING', stream, group, '-', '+', 1)[1]
      if oldest then return oldest[1], oldest[1] end
      return info['last-delivered-id'], '(' .. info['last-delivered-id']
    end
  end
end

local backlog = call('XLEN', KEYS[2])
if writer ~= '' then
  call('ZREMRANGEBYSCORE', KEYS[3], '-inf', digits(now - tonumber(ARGV[4])))
  call('ZADD', KEYS[3], digits(now), writer)
end
-- What was reported in the future, before the clock was set back, says nothing.
local latest = call('ZREVRANGEBYSCORE', KEYS[3], digits(now), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or ''
local report = {now, backlog, latest}
local at, from = position()
if not at then
  for _, value in ipairs({'', 0, 0, '', 0}) do report[#report + 1] = value end
  return report
end
local goes_on = counted ~= '' and not before(counted, at)
local found, size, last, more = 0, 0, '', true
if goes_on then from = '(' .. counted end
while more and found < most and size < bytes do
  local ask = math.min(16, most - found)
  local rows = call('XRANGE', stream, from, '+', 'COUNT', ask)
  for _, row in ipairs(rows) do
    last = row[1]
    for _, value in ipairs(row[2]) do size = size + #value end
  end
  found, more = found + #rows, #rows == ask
  if more then from = '(' .. last end
end
for _, value in ipairs({at, goes_on and 1 or 0, found, last, more and 1 or 0}) do
  report[#report + 1] = value
end
return report
