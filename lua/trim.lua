-- trim: (none) -> (none)
--
-- Shorten the gateway stream towards its length, never past what a group that
-- still counts has not read and acknowledged. Whole nodes go first; a stream far
-- over a small length is cut exactly.
--
-- KEYS
--   1 stream     stream  gateway events
--   2 never      the guard against a moving slot
-- ARGV
--   1 max_len    int  length to keep
--   2 idle_ms    int  a group whose consumers were not seen for so long does not count
--   3 now        int  or '' for the server's clock
-- RETURNS how many entries went, the length now, then for each group that held or was
-- passed by: its name, 'holds' or 'idle', and how long it was not seen, in ms

local stream, keep, now = KEYS[1], tonumber(ARGV[1]), now_ms(ARGV[3])
local length = call('XLEN', stream)
if length <= keep then return {0, length} end

local function pairs_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

local function before(a, b)
  local a_ms, a_seq = a:match('(%d+)-(%d+)')
  local b_ms, b_seq = b:match('(%d+)-(%d+)')
  if tonumber(a_ms) ~= tonumber(b_ms) then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local function unseen(name, delivered)
  local seen
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', stream, name)) do
    local idle = pairs_of(consumer).idle
    if not seen or idle < seen then seen = idle end
  end
  if seen then return seen end
  local last = delivered == '0-0' and call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1] or delivered
  return now - tonumber(last:match('%d+'))
end

local safe, report = nil, {}
for _, flat in ipairs(call('XINFO', 'GROUPS', stream)) do
  local group = pairs_of(flat)
  local idle = unseen(group.name, group['last-delivered-id'])
  local holds = idle <= tonumber(ARGV[2])
  report[#report + 1] = group.name
  report[#report + 1] = holds and 'holds' or 'idle'
  report[#report + 1] = idle
  if holds then
    local pending = call('XPENDING', stream, group.name)
    local reached = pending[1] > 0 and pending[2] or group['last-delivered-id']
    if not safe or before(reached, safe) then safe = reached end
  end
end

local gone
if safe then
  gone = call('XTRIM', stream, 'MINID', '~', safe, 'LIMIT', length - keep)
else
  gone = call('XTRIM', stream, 'MAXLEN', '~', keep)
end
-- What could still go stands in one node with what must stay, so these entries are few and
-- small. Beyond what is safe, where they may be large, none is read.
local over = length - gone - keep
if over > 0 and over * 10 > keep then
  local most = math.min(over, 1000) + 1
  local first = call('XRANGE', stream, '-', safe or '+', 'COUNT', most)
  if #first > 0 then
    gone = gone + call('XTRIM', stream, 'MINID', '=', first[most] and first[most][1] or safe)
  end
end
return {gone, length - gone, unpack(report)}
