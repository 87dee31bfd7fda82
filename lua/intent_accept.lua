-- intent_accept: (new) -> pending | cancelled | skipped
--
-- Create notifications with their routes, schedule them and wake a worker. The
-- same id with the same digest is the same notification and changes nothing. A
-- part whose notification was cancelled meanwhile is born cancelled. A channel
-- that can't be scheduled takes back every notification that has a route there.
-- What was created is listed. Where users have preferences, they are asked first.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 ruled      str  '1' where the users' preferences were looked at
--   4.. items    each: id, record (bytes 2 to 9 are the digest), ms to keep it where
--                no route waits, number of groups of routes that begin alike; these,
--                each: state (its due time 0 = now), the reason why they are skipped
--                or '', number of routes, route ids
-- RETURNS a list with a word and a detail for each item
--   accepted     created; the detail is when its first group is due
--   duplicate    exists with this digest; the detail is 'cancelled' or ''
--   conflict     exists with another digest
--   consult      not created: look at the users' preferences first
--   fault        not created; the detail is the error

local totals, tag, now = KEYS[1], ARGV[1], now_ms(ARGV[2])
local now_text = digits(now)
local counts, answers, listed = {accepted = 0}, {}, {}
-- By channel: scores and members for its schedule, and when the first of them is due.
local entries, earliest = {}, {}
-- What was cancelled before it came: none of it is scheduled.
local marked = {}

local function answer(word, detail)
  answers[#answers + 1] = word
  answers[#answers + 1] = detail
end

local function tally(field, by) counts[field] = (counts[field] or 0) + by end

-- A group: its first and last route, and where the next group begins.
local function routes_of(group)
  local size = tonumber(ARGV[group + 2])
  return group + 3, group + 2 + size, group + 3 + size
end

-- Of a group: when its routes are due.
local function due_of(group)
  local text = ARGV[group]:sub(16, 28)
  local due = tonumber(text)
  if due <= now then return now, now_text end
  return due, text
end

local function letter_of(group, marked)
  local letter = ARGV[group]:sub(2, 2)
  if marked and letter == 'p' then letter = 'c' end
  return letter
end

local function behind(at)
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

local function stored(group, letter, due_text)
  return '1' .. letter .. now_text .. due_text .. ARGV[group]:sub(29)
end

-- The fields of the hash.
local function fields_of(at, marked)
  local fields, open, group = {'record', ARGV[at + 1], 'open', 0}, 0, at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local letter, first, last, after = letter_of(group, marked), routes_of(group)
    local _, due_text = due_of(group)
    local state = stored(group, letter, due_text)
    for i = first, last do
      fields[#fields + 1] = ARGV[i]
      fields[#fields + 1] = state
    end
    if letter == 'p' then open = open + last - first + 1 end
    if letter == 'c' then fields[#fields + 1], fields[#fields + 2] = 'cancelled', '1' end
    group = after
  end
  fields[4] = open
  return fields
end

-- Schedule and count what was written, or count it out again.
local function enter(id, at, marked, sign)
  local group = at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local letter, first, last, after = letter_of(group, marked), routes_of(group)
    local by = sign * (last - first + 1)
    tally('accepted', by)
    if letter == 'c' then tally('cancelled', by) end
    if letter == 's' then
      tally('skipped', by)
      tally('skipped:' .. ARGV[group + 1], by)
    end
    if letter == 'p' and sign > 0 then schedule(id, first, last, due_of(group)) end
    group = after
  end
end

-- A call takes some 4,000 fields of a hash at a time.
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

local function create(key, at, marked)
  local fields = fields_of(at, marked)
  local refused = write(key, fields)
  if refused then return answer('fault', refused) end
  -- The mark brings its own time to live.
  if fields[4] == 0 and not marked then try('PEXPIRE', key, ARGV[at + 2]) end
  enter(ARGV[at], at, marked, 1)
  local _, due_text = due_of(at + 4)
  created(ARGV[at], due_text)
end

-- Most have a single route, and wait.
local function is_plain(at)
  return ARGV[at + 3] == '1' and ARGV[at + 6] == '1' and ARGV[at + 4]:byte(2) == 112
end

local function create_plain(key, at)
  local due, due_text = due_of(at + 4)
  local state = stored(at + 4, 'p', due_text)
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
  -- Where the record was lost there is nothing to compare.
  local same = not known[2] or known[2]:sub(2, 9) == ARGV[at + 1]:sub(2, 9)
  answer(same and 'duplicate' or 'conflict', known[3] and 'cancelled' or '')
end

-- Go through the routes of an item that were scheduled.
local function each_scheduled(at, visit)
  local group = at + 4
  for _ = 1, tonumber(ARGV[at + 3]) do
    local first, last, after = routes_of(group)
    if letter_of(group) == 'p' then
      for i = first, last do visit(ARGV[i]:match('^[^:]*'), ARGV[i], group) end
    end
    group = after
  end
end

-- Take back what has a route in a channel that was refused, and answer so for it and
-- for its repetitions in this call.
local function take_back(refused)
  local gone, at, place = {}, 4, 1
  earliest, listed = {}, {}
  while ARGV[at] do
    local id, reason = ARGV[at], nil
    local scheduled = answers[place] == 'accepted' and not marked[id]
    each_scheduled(at, function(channel) reason = reason or refused[channel] end)
    if gone[id] then
      answers[place], answers[place + 1] = 'fault', gone[id]
    elseif scheduled and reason then
      each_scheduled(at, function(channel, route)
        if not refused[channel] then try('ZREM', tag .. 'schedule:' .. channel, id .. '/' .. route) end
      end)
      try('DEL', tag .. 'notification:' .. id)
      enter(id, at, false, -1)
      gone[id] = reason
      answers[place], answers[place + 1] = 'fault', reason
    elseif answers[place] == 'accepted' then
      if scheduled then
        each_scheduled(at, function(channel, _, group) comes_first(channel, (due_of(group))) end)
      end
      if not id:find('.', 1, true) then listed[#listed + 1] = id end
    end
    at, place = behind(at), place + 2
  end
end

if ARGV[3] == '' and call('EXISTS', tag .. 'preferred') == 1 then
  local at = 4
  while ARGV[at] do
    answer('consult', '')
    at = behind(at)
  end
  return answers
end

local at = 4
while ARGV[at] do
  local key = tag .. 'notification:' .. ARGV[at]
  if try('EXISTS', key) ~= 0 then
    accept_known(key, at)
  elseif is_plain(at) then
    create_plain(key, at)
  else
    create(key, at, false)
  end
  at = is_plain(at) and at + 8 or behind(at)
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
