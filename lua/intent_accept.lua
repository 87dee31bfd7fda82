-- intent_accept: (new) -> pending | cancelled | skipped
--
-- Create notifications with their routes, schedule them and wake a worker. A repeat with
-- the same id and digest changes nothing. A part of a notification that was cancelled is
-- created as cancelled. If a channel cannot be scheduled, every notification with a route
-- in it is removed again. Created notifications are listed. If users have preferences,
-- nothing is created before they were checked.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 ruled      str  '1' if the preferences of the users were checked
--   4.. items    each: id, record (bytes 2 to 9 are the digest), ms to keep it if no
--                route waits, number of groups of routes with the same initial state;
--                these, each: state (a due time below 10^12 is how long from now), reason
--                to skip them or '', number of routes, route ids
-- RETURNS a list with a word and a detail for each item
--   accepted     created; the detail is when its first group is due
--   duplicate    exists with this digest; the detail is 'cancelled' or ''
--   conflict     exists with another digest
--   check_rules  not created: users have preferences, check them first
--   fault        not created; the detail is the error

local totals, tag, now = KEYS[1], ARGV[1], now_ms(ARGV[2])
local now_text = digits(now)
local listed = {}
-- For each channel: scores and members for its schedule, and when the first of them is due.
local entries, earliest = {}, {}
-- Ids that were cancelled before they were accepted: none of their routes is scheduled.
local marked = {}
local PENDING, CANCELLED, SKIPPED = 'p', 'c', 's'
-- No due time is as long ago; a smaller number is a delay.
local EARLIEST = 1000000000000
counts.accepted = 0

local function digest_of(record) return record:sub(2, 9) end

-- Of a group: its first and last route, and where the next group begins.
local function routes_of(group)
  local size = tonumber(ARGV[group + 2])
  return group + 3, group + 2 + size, group + 3 + size
end

-- Of a group: when its routes are due, as a number and as text.
local function due_time(group)
  local text = due_of(ARGV[group])
  local due = tonumber(text)
  if due > now then return due, text end
  if due == 0 or due >= EARLIEST then return now, now_text end
  return now + due, digits(now + due)
end

local function initial_status(group, mark)
  local status = status_of(ARGV[group])
  if mark and status == PENDING then status = CANCELLED end
  return status
end

local function next_item(at)
  local group, _ = at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do _, _, group = routes_of(group) end
  return group
end

local function comes_first(channel, due)
  earliest[channel] = math.min(due, earliest[channel] or due)
end

local function schedule(id, first, last, due, due_text)
  for i = first, last do
    local route = ARGV[i]
    local channel = route:match('^[^:]*')
    local list = entries[channel]
    if not list then
      list = {}
      entries[channel], earliest[channel] = list, due
    end
    list[#list + 1] = due_text
    list[#list + 1] = id .. '/' .. route
    if due < earliest[channel] then earliest[channel] = due end
  end
end

local function stored(group, status, due_text)
  return '1' .. status .. now_text .. due_text .. ARGV[group]:sub(BODY)
end

-- Return the fields of the hash.
local function fields_of(at, mark)
  local fields, open, group = {'record', ARGV[at + 1], 'open', 0}, 0, at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local status, first, last, after = initial_status(group, mark), routes_of(group)
    local _, due_text = due_time(group)
    local state = stored(group, status, due_text)
    for i = first, last do
      fields[#fields + 1] = ARGV[i]
      fields[#fields + 1] = state
    end
    if status == PENDING then open = open + last - first + 1 end
    if status == CANCELLED then fields[#fields + 1], fields[#fields + 2] = 'cancelled', '1' end
    group = after
  end
  fields[4] = open
  return fields
end

-- Schedule and count the routes of an item; with sign -1 take them out of the counts again.
local function enter(id, at, mark, sign)
  local group = at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local status, first, last, after = initial_status(group, mark), routes_of(group)
    local by = sign * (last - first + 1)
    tally('accepted', by)
    if status == CANCELLED then tally('cancelled', by) end
    if status == SKIPPED then
      tally('skipped', by)
      tally('skipped:' .. ARGV[group + 1], by)
    end
    if status == PENDING and sign > 0 then schedule(id, first, last, due_time(group)) end
    group = after
  end
end

-- One HSET takes about 4,000 values: unpack has a limit.
local function write(key, fields)
  for from = 1, #fields, 4000 do
    local refused = fault(try('HSET', key, unpack(fields, from, math.min(from + 3999, #fields))))
    if refused and from > 1 then try('DEL', key) end
    if refused then return refused end
  end
end

local function created(id, due_text)
  if not id:find('.', 1, true) then listed[#listed + 1] = id end
  answer('accepted', due_text)
end

local function create(key, at, mark)
  local fields = fields_of(at, mark)
  local refused = write(key, fields)
  if refused then return answer('fault', refused) end
  -- A marked hash already has a time to live.
  if fields[4] == 0 and not mark then try('PEXPIRE', key, ARGV[at + 2]) end
  enter(ARGV[at], at, mark, 1)
  local _, due_text = due_time(at + 4)
  created(ARGV[at], due_text)
end

-- Whether a notification has a single pending route, as most have.
local function is_plain(at)
  return ARGV[at + 3] == '1' and ARGV[at + 6] == '1' and status_of(ARGV[at + 4]) == PENDING
end

local function create_plain(key, at)
  local due, due_text = due_time(at + 4)
  local state = stored(at + 4, PENDING, due_text)
  local refused = fault(try('HSET', key, 'record', ARGV[at + 1], 'open', 1, ARGV[at + 7], state))
  if refused then return answer('fault', refused) end
  counts.accepted = counts.accepted + 1
  schedule(ARGV[at], at + 7, at + 7, due, due_text)
  created(ARGV[at], due_text)
end

local function accept_known(key, at)
  local known = try('HMGET', key, 'open', 'record', 'cancelled')
  if fault(known) then return answer('fault', known.err) end
  if not known[1] then
    marked[ARGV[at]] = known[3]
    return create(key, at, known[3])
  end
  -- If the record was lost there is nothing to compare.
  local same = not known[2] or digest_of(known[2]) == digest_of(ARGV[at + 1])
  answer(same and 'duplicate' or 'conflict', known[3] and 'cancelled' or '')
end

-- Visit the scheduled routes of an item.
local function each_scheduled(at, visit)
  local group = at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local first, last, after = routes_of(group)
    if initial_status(group) == PENDING then
      for i = first, last do visit(ARGV[i]:match('^[^:]*'), ARGV[i], group) end
    end
    group = after
  end
end

-- Remove notifications with a route in a refused channel, and answer `fault` for them and for
-- their repetitions in this call.
local function take_back(refused)
  local gone, at, word_at = {}, 4, 1
  earliest, listed = {}, {}
  while ARGV[at] do
    local id, reason = ARGV[at], nil
    local scheduled = answers[word_at] == 'accepted' and not marked[id]
    each_scheduled(at, function(channel) reason = reason or refused[channel] end)
    if gone[id] then
      answers[word_at], answers[word_at + 1] = 'fault', gone[id]
    elseif scheduled and reason then
      each_scheduled(at, function(channel, route)
        if not refused[channel] then try('ZREM', tag .. 'schedule:' .. channel, id .. '/' .. route) end
      end)
      try('DEL', tag .. 'notification:' .. id)
      enter(id, at, false, -1)
      gone[id] = reason
      answers[word_at], answers[word_at + 1] = 'fault', reason
    elseif answers[word_at] == 'accepted' then
      if scheduled then
        each_scheduled(at, function(channel, _, group) comes_first(channel, (due_time(group))) end)
      end
      if not id:find('.', 1, true) then listed[#listed + 1] = id end
    end
    at, word_at = next_item(at), word_at + 2
  end
end

if ARGV[3] == '' and call('EXISTS', tag .. 'preferred') == 1 then
  local at = 4
  while ARGV[at] do
    answer('check_rules')
    at = next_item(at)
  end
  return answers
end

local at = 4
while ARGV[at] do
  local key, plain = tag .. 'notification:' .. ARGV[at], is_plain(at)
  if try('EXISTS', key) ~= 0 then
    accept_known(key, at)
  elseif plain then
    create_plain(key, at)
  else
    create(key, at, false)
  end
  at = plain and at + 8 or next_item(at)
end

local refused, all = {}, true
for channel, list in pairs(entries) do
  refused[channel] = fault(try('ZADD', tag .. 'schedule:' .. channel, unpack(list)))
  all = all and not refused[channel]
end
if not all then take_back(refused) end
if #listed > 0 then
  local ids = ('%s' .. (' %s'):rep(#listed - 1)):format(unpack(listed))
  try('XADD', tag .. 'accepted', '*', 'ids', ids)
end
for field, by in pairs(counts) do count(totals, field, by) end
for channel, due in pairs(earliest) do
  local list = tag .. 'wake:' .. channel
  if due <= now then
    wake(list)
  else
    local head = try('ZRANGE', tag .. 'schedule:' .. channel, 0, 0, 'WITHSCORES')
    if not fault(head) and head[2] and tonumber(head[2]) >= due then wake(list) end
  end
end
return answers
