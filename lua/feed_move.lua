-- feed_move: (pending) -> (moved)
--
-- Move the oldest entries that the feed's group keeps the gateway stream from being trimmed by to
-- the backlog: those that are pending, else those it was not given. Each is copied with all its
-- fields and its id, then acknowledged. Where the first copy is refused, nothing has changed. A
-- repeat moves the next ones.
--
-- KEYS
--   1 stream        stream  gateway events
--   2 feed_backlog  stream  events that were moved out of the way of trimming
--   3 feed_writers  zset    writer -> when it reported last, in ms
--   4 never         the guard against a moving slot
-- ARGV
--   1 group      str
--   2 consumer   str
--   3 now        int  or '' for the server's clock
--   4 alone_ms   int  move only if no writer has reported for this long, and where there has been
--                one: the backlog exists from then on; '' = a writer moves
--   5 max        int  entries of the backlog from which on nothing is moved
--   6 most       int  entries to move
--   7 bytes      int  about how many bytes of them to move
-- RETURNS a word, how many entries were moved or had gone, the length of the backlog
--   moved        the oldest of them, or there were none
--   full         the backlog has the most entries that it may have
--   stale        a writer lives, none has ever run, or the group is missing: nothing was moved

local stream, backlog, group, now = KEYS[1], KEYS[2], ARGV[1], now_ms(ARGV[3])
local length, most, bytes = call('XLEN', backlog), tonumber(ARGV[6]), tonumber(ARGV[7])
local most_fields = 100

if ARGV[4] ~= '' then
  local latest = call('ZREVRANGEBYSCORE', KEYS[3], digits(now), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local lives = latest and now - tonumber(latest) < tonumber(ARGV[4])
  if lives or call('EXISTS', backlog) == 0 then return {'stale', 0, length} end
end
local function last_delivered()
  local found = try('XINFO', 'GROUPS', stream)
  for _, flat in ipairs(fault(found) and {} or found) do
    local info = {}
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
    if info.name == group then return info['last-delivered-id'] end
  end
end
local last = last_delivered()
if not last then return {'stale', 0, length} end
most = math.min(most, tonumber(ARGV[5]) - length)
if most <= 0 then return {'full', 0, length} end

-- All is read before the first write: what to move, oldest first; without fields it has gone.
local size, found = 0, {}

local function add(id, fields)
  found[#found + 1] = {id, fields}
  for _, value in ipairs(fields or {}) do size = size + #value end
end

local pending = call('XPENDING', stream, group, '-', '+', most)
for _, row in ipairs(pending) do
  if size >= bytes then break end
  -- Redis 6.2 keeps an entry pending that was trimmed from the stream.
  local entry = call('XRANGE', stream, row[1], row[1])[1]
  add(row[1], entry and entry[2])
end
local at = #pending == 0 and last
while at and #found < most and size < bytes do
  local ask = math.min(16, most - #found)
  local rows = call('XRANGE', stream, '(' .. at, '+', 'COUNT', ask)
  for _, row in ipairs(rows) do
    if size < bytes then add(row[1], row[2]) end
  end
  at = #rows == ask and rows[ask][1]
end

local moved, copies, refusal = {}, {}, nil
for _, entry in ipairs(found) do
  local id, fields = entry[1], entry[2]
  if fields then
    for extra = #fields, 2 * most_fields + 1, -1 do fields[extra] = nil end
    fields[#fields + 1], fields[#fields + 2] = 'stream_id', id
    local copied = try('XADD', backlog, '*', unpack(fields))
    refusal = fault(copied) and copied
    if refusal then break end
    copies[#copies + 1] = copied
  end
  moved[#moved + 1] = id
end
local done = true
if #pending == 0 and #moved > 0 then
  -- Given to the group, so that it does not get them again.
  done = try('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', #moved, 'STREAMS', stream, '>')
end
if #moved == 0 and refusal then return refusal end
if not fault(done) and #moved > 0 then done = try('XACK', stream, group, unpack(moved)) end
if fault(done) then
  if #copies > 0 then try('XDEL', backlog, unpack(copies)) end
  return done
end
return {'moved', #moved, length + #copies}
