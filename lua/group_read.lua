-- group_read: (none) -> (none)
--
-- Say how every group of the gateway stream stands, from what can be looked at: what a
-- server counts for a group is wrong after a restart or a failover. Entries are counted
-- on both sides of a group's place, at most so many and about so many bytes of them.
--
-- KEYS
--   1 stream     stream  gateway events
--   2 lost       hash    group -> entries that trimming took from it
--   3 never      the guard against a moving slot
-- ARGV
--   1 most       int  entries to read, over all groups
--   2 bytes      int  about how many bytes to read, over all groups
-- RETURNS now, the stream's length, then for each group: its name, how many entries are
-- pending, the id of the oldest of them or '', how many it was not given, 1 if it may be
-- more, how many it lost

local stream, lost, now = KEYS[1], KEYS[2], now_ms('')
local length = call('XLEN', stream)
local report, groups = {now, length}, {}
local found = try('XINFO', 'GROUPS', stream)
if length > 0 and fault(found) then return found end
for _, flat in ipairs(found) do
  local told = {}
  for i = 1, #flat, 2 do told[flat[i]] = flat[i + 1] end
  groups[#groups + 1] = {name = told.name, pending = told.pending, last = told['last-delivered-id']}
end
local share = math.max(1, #groups)
local entries, bytes = tonumber(ARGV[1]) / share, tonumber(ARGV[2]) / share

-- Return how many entries there are in a range, and whether it ended before the limits did.
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

local function not_given(group)
  local ahead, is_all = counted('(' .. group.last, '+')
  if is_all then return ahead, 0 end
  local given
  given, is_all = counted('-', group.last)
  if is_all then return length - given, 0 end
  return ahead, 1
end

for _, group in ipairs(groups) do
  local oldest = group.pending > 0 and call('XPENDING', stream, group.name, '-', '+', 1)[1]
  local behind, open = not_given(group)
  local missed = tonumber(call('HGET', lost, group.name) or 0) or 0
  for _, told in ipairs({group.name, group.pending, oldest and oldest[1] or '', behind, open, missed}) do
    report[#report + 1] = told
  end
end
return report
