-- group_read: (none) -> (none)
--
-- Return the position of every group of the gateway stream. It is found by reading, because
-- the counters of the server are wrong after a restart or a failover. Entries are counted
-- on both sides of the position of a group, up to a number of entries and of bytes.
--
-- KEYS
--   1 stream     stream  gateway events
--   2 lost       hash    group -> entries it lost by trimming
--   3 never      the guard against a moving slot
-- ARGV
--   1 most       int  entries to read, over all groups
--   2 bytes      int  about how many bytes to read, over all groups
-- RETURNS now, the length of the stream, then for each group: its name, its number of pending
-- entries, the id of the oldest of them or '', its number of undelivered entries, 1 if there
-- may be more, its number of lost entries

local stream, lost, now = KEYS[1], KEYS[2], now_ms('')
local length = call('XLEN', stream)
local report, groups = {now, length}, {}
local found = try('XINFO', 'GROUPS', stream)
if length > 0 and fault(found) then return found end
for _, flat in ipairs(found) do
  local info = {}
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  groups[#groups + 1] = {name = info.name, pending = info.pending, last = info['last-delivered-id']}
end
local share = math.max(1, #groups)
local entries, bytes = tonumber(ARGV[1]) / share, tonumber(ARGV[2]) / share

-- Return how many entries a range has, and whether all of them were counted.
local function counted(from, to)
  local found, size, ask = 0, 0, 1
  while found < entries and size < bytes do
    local rows = call('XRANGE', stream, from, to, 'COUNT', ask)
    for _, row in ipairs(rows) do
      for _, value in ipairs(row[2]) do size = size + #value end
    end
    found = found + #rows
    if #rows < ask then return found, true end
    from = '(' .. rows[#rows][1]
    local room = math.floor((bytes - size) * found / (size + 1))
    ask = math.max(1, math.min(4 * ask, 256, room, math.ceil(entries - found)))
  end
  return found, false
end

local function undelivered(group)
  local ahead, is_all = counted('(' .. group.last, '+')
  if is_all then return ahead, 0 end
  local delivered
  delivered, is_all = counted('-', group.last)
  if is_all then return length - delivered, 0 end
  return ahead, 1
end

for _, group in ipairs(groups) do
  local oldest = group.pending > 0 and call('XPENDING', stream, group.name, '-', '+', 1)[1]
  local behind, open = undelivered(group)
  local missed = tonumber(call('HGET', lost, group.name) or 0) or 0
  for _, value in ipairs({group.name, group.pending, oldest and oldest[1] or '', behind, open, missed}) do
    report[#report + 1] = value
  end
end
return report
