-- accept: (new) -> pending | cancelled
--
-- Create notifications with their routes, schedule them and wake a worker. The
-- same id with the same digest is the same notification and changes nothing. A
-- part whose notification was cancelled meanwhile is born cancelled. A channel
-- that can't be scheduled takes back every notification that has a route there.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3.. items    each: id, record (bytes 2 to 9 are the digest), state, number of
--                routes, route ids. The state has the due time (0 = now) and, for what
--                is born cancelled, how long to keep it in place of its own time
-- RETURNS a list with a word and a detail for each item
--   accepted     created; the detail is its due time
--   duplicate    exists with this digest; the detail is 'cancelled' or ''
--   conflict     exists with another digest
--   fault        not created; the detail is the error

local totals, tag, now = KEYS[1], ARGV[1], now_ms(ARGV[2])
local now_text = digits(now)
local accepted, cancelled, answers = 0, 0, {}
-- By channel: scores and members for its schedule, and when the first of them is due.
local entries, earliest = {}, {}
local born_cancelled = {}

local function answer(word, detail)
  answers[#answers + 1] = word
  answers[#answers + 1] = detail
end

local function comes_first(at, size, due)
  for i = at + 4, at + 3 + size do
    local channel = ARGV[i]:match('^[^:]*')
    earliest[channel] = math.min(due, earliest[channel] or due)
  end
end

local function schedule(id, at, size, due, due_text)
  for i = at + 4, at + 3 + size do
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
  accepted = accepted + size
  answer('accepted', due_text)
end

local function create(key, at, size)
  local state = ARGV[at + 2]
  local due_text = state:sub(16, 28)
  local due = tonumber(due_text)
  if due <= now then due, due_text = now, now_text end
  local stored = state:sub(1, 2) .. now_text .. due_text .. state:sub(29)
  local refused
  if size == 1 then
    refused = fault(try('HSET', key, 'record', ARGV[at + 1], 'open', 1, ARGV[at + 4], stored))
  else
    local fields = {'record', ARGV[at + 1], 'open', size}
    for i = at + 4, at + 3 + size do
      fields[#fields + 1] = ARGV[i]
      fields[#fields + 1] = stored
    end
    refused = fault(try('HSET', key, unpack(fields)))
  end
  if refused then return answer('fault', refused) end
  schedule(ARGV[at], at, size, due, due_text)
end

-- The mark brings its own time to live.
local function create_cancelled(key, at, size, marked)
  local state = ARGV[at + 2]
  local due_text = digits(math.max(now, tonumber(state:sub(16, 28))))
  local stored = '1c' .. now_text .. due_text .. state:sub(29)
  local fields = {'record', ARGV[at + 1], 'open', 0, 'cancelled', '1'}
  for i = at + 4, at + 3 + size do
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = stored
  end
  local refused = fault(try('HSET', key, unpack(fields)))
  if refused then return answer('fault', refused) end
  if not marked then try('PEXPIRE', key, tonumber(state:sub(3, 15))) end
  accepted, cancelled = accepted + size, cancelled + size
  born_cancelled[ARGV[at]] = true
  answer('accepted', due_text)
end

local function accept_new(key, at, size, marked)
  if marked or ARGV[at + 2]:sub(2, 2) == 'c' then
    create_cancelled(key, at, size, marked)
  else
    create(key, at, size)
  end
end

local function accept_known(key, at, size)
  local known = try('HMGET', key, 'open', 'record', 'cancelled')
  if fault(known) then return answer('fault', known.err) end
  if not known[1] then return accept_new(key, at, size, known[3]) end
  -- Where the record was lost there is nothing to compare.
  local same = not known[2] or known[2]:sub(2, 9) == ARGV[at + 1]:sub(2, 9)
  answer(same and 'duplicate' or 'conflict', known[3] and 'cancelled' or '')
end

-- Take back what has a route in a channel that was refused, and answer so for it and
-- for its repetitions in this call.
local function take_back(refused)
  local gone, at, place = {}, 3, 1
  earliest = {}
  while ARGV[at] do
    local id, size, reason = ARGV[at], tonumber(ARGV[at + 3]), nil
    local scheduled = answers[place] == 'accepted' and not born_cancelled[id]
    for i = at + 4, at + 3 + size do
      reason = reason or refused[ARGV[i]:match('^[^:]*')]
    end
    if gone[id] then
      answers[place], answers[place + 1] = 'fault', gone[id]
    elseif scheduled and reason then
      for i = at + 4, at + 3 + size do
        local channel = ARGV[i]:match('^[^:]*')
        if not refused[channel] then try('ZREM', tag .. 'schedule:' .. channel, id .. '/' .. ARGV[i]) end
      end
      try('DEL', tag .. 'notification:' .. id)
      gone[id], accepted = reason, accepted - size
      answers[place], answers[place + 1] = 'fault', reason
    elseif scheduled then
      comes_first(at, size, tonumber(answers[place + 1]))
    end
    at, place = at + 4 + size, place + 2
  end
end

local at = 3
while ARGV[at] do
  local key, size = tag .. 'notification:' .. ARGV[at], tonumber(ARGV[at + 3])
  if try('EXISTS', key) ~= 0 then
    accept_known(key, at, size)
  else
    accept_new(key, at, size, false)
  end
  at = at + 4 + size
end

local refused, all = {}, true
for channel, list in pairs(entries) do
  refused[channel] = fault(try('ZADD', tag .. 'schedule:' .. channel, unpack(list)))
  all = all and not refused[channel]
end
if not all then take_back(refused) end
count(totals, 'accepted', accepted)
count(totals, 'cancelled', cancelled)
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
