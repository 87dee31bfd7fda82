-- accept: (new) -> pending | cancelled
--
-- Create notifications with their routes, schedule them and wake a worker. The
-- same id with the same digest is the same notification and changes nothing. A
-- part whose notification was cancelled meanwhile is born cancelled.
--
-- KEYS
--   1 totals     hash
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3.. items    each: id, digest, record, state, due ('' = now), keep_ms (how long
--                to keep it once no route needs it), born ('cancelled' or ''),
--                number of routes, route ids
-- RETURNS a list with a word and a detail for each item
--   accepted     created; the detail is its due time
--   duplicate    exists with this digest; the detail is 'cancelled' or ''
--   conflict     exists with another digest
--   fault        not created; the detail is the error

local totals, tag, now = KEYS[1], ARGV[1], now_ms(ARGV[2])
local earliest, accepted, cancelled, answers = {}, 0, 0, {}

local function answer(word, detail)
  answers[#answers + 1] = word
  answers[#answers + 1] = detail
end

local function schedule(id, due, routes)
  local entries = {}
  for _, route in ipairs(routes) do
    local channel = route:match('^[^:]*')
    local list = entries[channel] or {}
    entries[channel] = list
    list[#list + 1] = digits(due)
    list[#list + 1] = id .. '/' .. route
  end
  for channel, list in pairs(entries) do
    local refused = fault(try('ZADD', tag .. 'schedule:' .. channel, unpack(list)))
    if refused then return refused, entries end
  end
  for channel in pairs(entries) do
    earliest[channel] = math.min(due, earliest[channel] or due)
  end
end

local function create(id, digest, record, state, due, keep, born, routes)
  local key = tag .. 'notification:' .. id
  local fields = {'digest', digest, 'record', record, 'open', born and 0 or #routes}
  if born then
    state = '1c' .. state:sub(3)
    fields[#fields + 1] = 'cancelled'
    fields[#fields + 1] = '1'
  end
  local stored = stamp(state, due, now)
  for _, route in ipairs(routes) do
    fields[#fields + 1] = route
    fields[#fields + 1] = stored
  end
  local refused = fault(try('HSET', key, unpack(fields)))
  if refused then return answer('fault', refused) end
  if born then
    try('PEXPIRE', key, keep)
    cancelled = cancelled + #routes
  else
    local entries
    refused, entries = schedule(id, due, routes)
    if refused then
      for channel, list in pairs(entries) do
        for i = 2, #list, 2 do try('ZREM', tag .. 'schedule:' .. channel, list[i]) end
      end
      try('DEL', key)
      return answer('fault', refused)
    end
  end
  accepted = accepted + #routes
  answer('accepted', digits(due))
end

local at = 3
while ARGV[at] do
  local id, digest, record, state = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local due, keep, born, size = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7])
  local known = try('HMGET', tag .. 'notification:' .. id, 'digest', 'cancelled')
  if fault(known) then
    answer('fault', known.err)
  elseif known[1] then
    answer(known[1] == digest and 'duplicate' or 'conflict', known[2] and 'cancelled' or '')
  else
    local routes = {unpack(ARGV, at + 8, at + 7 + size)}
    due = due == '' and now or math.max(now, tonumber(due))
    create(id, digest, record, state, due, keep, known[2] or born ~= '', routes)
  end
  at = at + 8 + size
end

count(totals, 'accepted', accepted)
count(totals, 'cancelled', cancelled)
for channel, due in pairs(earliest) do
  local head = try('ZRANGE', tag .. 'schedule:' .. channel, 0, 0, 'WITHSCORES')
  if due <= now or (not fault(head) and tonumber(head[2]) >= due) then
    wake(tag .. 'wake:' .. channel)
  end
end
return answers
