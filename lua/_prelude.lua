-- In front of every script. Times are epoch ms; only tests pass one, production passes ''.
local KEYS, ARGV, call, try = KEYS, ARGV, redis.call, redis.pcall
-- Where the parts of a state begin: status, last transition, due time, body (lua/README.md).
local STATUS, AT, DUE, BODY = 2, 3, 16, 29
local answers, counts = {}, {}

local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number) return string.format('%.0f', number) end
local function fault(reply) return type(reply) == 'table' and reply.err or nil end
local function status_of(state) return state:sub(STATUS, STATUS) end
local function due_of(state) return state:sub(DUE, BODY - 1) end
local function answer(word, detail) answers[#answers + 1], answers[#answers + 2] = word, detail or '' end
local function tally(field, by) counts[field] = (counts[field] or 0) + by end
local function count(totals, field, by) if by > 0 then try('HINCRBY', totals, field, by) end end

-- Fill in the time of the transition and the due time of a state (nil keeps its own).
local function stamp(state, due, now)
  return state:sub(1, STATUS) .. digits(now) .. (due and digits(due) or due_of(state)) .. state:sub(BODY)
end

local function wake(list)
  if try('LLEN', list) == 0 then try('RPUSH', list, '1') end
end
