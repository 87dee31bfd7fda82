-- Glued in front of every script. Times are epoch ms; production passes '' for now.
local KEYS, ARGV, call, try = KEYS, ARGV, redis.call, redis.pcall

local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number) return string.format('%.0f', number) end

local function fault(reply) return type(reply) == 'table' and reply.err or nil end

-- Fill in the time of the transition and a state's due time (nil keeps its own).
local function stamp(state, due, now)
  return state:sub(1, 2) .. digits(now) .. (due and digits(due) or state:sub(16, 28)) .. state:sub(29)
end

local function count(totals, field, by)
  if by > 0 then try('HINCRBY', totals, field, by) end
end

local function wake(list)
  if try('LLEN', list) == 0 then try('RPUSH', list, '1') end
end
