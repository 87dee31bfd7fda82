-- edge_fire: (none) -> (none)
--
-- Move an edge to the side of its threshold where a value lies, and answer whether that fires: only
-- a move above does, and not within the cooldown after the last one that fired. An edge that is not
-- there is below. Calls that moved it are kept with their answers, so that a repeat moves nothing and
-- is answered as before. A call that moves nothing is the same whenever it runs.
--
-- KEYS
--   1 edge       string  where it is, when it last fired, and the last calls that moved it
--   2 never      the guard against a moving slot
-- ARGV
--   1 now        int  or '' for the server's clock
--   2 zone       str  where the value lies: 'above', 'below', or 'between' the two thresholds
--   3 cooldown   int  ms after an edge has fired in which it does not fire again; 0 for none
--   4 call       str  16 hex digits, the id of this call
--   5 keep       int  ms for which the edge is kept after this call
-- RETURNS 1 if it fires, else 0

-- Calls that are kept, the bytes of each, and those in front of them.
local MOST, ENTRY, HEAD = 32, 18, 15
local NEW = {'b', '0000000000000', ''}
local now, zone, cooldown, id, keep = now_ms(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

-- Return side, time and calls; nil if the value is not one of this script.
local function read(value)
  if #value > HEAD + MOST * ENTRY or (#value - HEAD) % ENTRY ~= 0 then return nil end
  local side, fired, calls = value:match('^1([ab])(%d%d%d%d%d%d%d%d%d%d%d%d%d)([ %x]*)$')
  return side and {side, fired, calls}
end

local value = try('GET', KEYS[1])
local refused = fault(value)
if refused and not refused:find('WRONGTYPE', 1, true) then return value end
-- What another client wrote is replaced by the first move: it fires once more, never once less.
local edge = not refused and value and read(value) or NEW
local place = edge[3]:find(' ' .. id, 1, true)
if place then return tonumber(edge[3]:sub(place + ENTRY - 1, place + ENTRY - 1)) end

local moves = zone == 'above' and edge[1] == 'b' or zone == 'below' and edge[1] == 'a'
if not moves then
  if edge ~= NEW then call('PEXPIRE', KEYS[1], keep) end
  return 0
end
-- The distance: a clock that was set back must not keep the edge silent for as long.
local fires = zone == 'above' and math.abs(now - tonumber(edge[2])) >= cooldown
local calls = ' ' .. id .. (fires and '1' or '0') .. edge[3]:sub(1, (MOST - 1) * ENTRY)
call('SET', KEYS[1], '1' .. zone:sub(1, 1) .. (fires and digits(now) or edge[2]) .. calls, 'PX', keep)
return fires and 1 or 0
