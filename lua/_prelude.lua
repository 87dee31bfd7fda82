-- Glued in front of every script. Times are epoch ms; production passes '' for now.
local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number) return string.format('%.0f', number) end

local function fault(reply) return type(reply) == 'table' and reply.err or nil end

-- Fill in a state's due time (nil keeps its own) and the time of the transition.
local function stamp(state, due, now)
  return state:sub(1, 2) .. (due and digits(due) or state:sub(3, 15)) .. digits(now) .. state:sub(29)
end

local function channel_of(member) return member:match('^[^/]*/([^:]*):') or '' end

local function count(totals, field, by)
  if by > 0 then redis.pcall('HINCRBY', totals, field, by) end
end

local function wake(list)
  if redis.pcall('LLEN', list) == 0 then redis.pcall('RPUSH', list, '1') end
end
