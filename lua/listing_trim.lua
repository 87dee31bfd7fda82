-- listing_trim: (none) -> (none)
--
-- Read some entries of the list of accepted notifications, the oldest first, and remove
-- those whose notifications are all gone, and invalid entries. The call ends early if the
-- entries name many notifications.
--
-- KEYS
--   1 accepted   stream  what was accepted, for listing
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 start      str  '-', or '(' and the id of an entry: begin after it
--   3 count      int  about how many entries to read, at most 1,000
-- RETURNS where to continue ('' = nothing follows, '-' = at the beginning again), how many
-- entries were read, how many were removed

local tag, start, most = ARGV[1], ARGV[2], math.min(tonumber(ARGV[3]), 1000)
-- MOST_IDS: what one call of intent_accept can name. ENOUGH: ids to look up in one call.
local STEP, LONGEST, MOST_IDS, ENOUGH = 16, 65536, 1000, 1000
local looked, named, gone, last = 0, 0, {}, '0-0'

local function ids_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'ids' and #fields[i + 1] <= LONGEST then
      return fields[i + 1]
    end
  end
  return ''
end

local function is_needed(fields)
  local keys = {}
  for id in ids_of(fields):gmatch('[^ ]+') do
    keys[#keys + 1] = tag .. 'notification:' .. id
    if #keys > MOST_IDS then return false end
  end
  named = named + #keys
  return #keys > 0 and call('EXISTS', unpack(keys)) > 0
end

repeat
  local page = call('XRANGE', KEYS[1], start, '+', 'COUNT', STEP)
  for _, entry in ipairs(page) do
    if not is_needed(entry[2]) then gone[#gone + 1] = entry[1] end
    looked, start, last = looked + 1, '(' .. entry[1], entry[1]
  end
  if #page < STEP then start = '' end
until start == '' or looked >= most or named >= ENOUGH
local ms, number = last:match('^(%d+)-(%d+)$')
if ARGV[2] == '-' and #gone == looked and #number < 15 then
  -- The whole beginning is removed: one XTRIM is faster than many XDEL.
  if looked > 0 then call('XTRIM', KEYS[1], 'MINID', '=', ms .. '-' .. digits(number + 1)) end
  if start ~= '' then start = '-' end
elseif #gone > 0 then
  call('XDEL', KEYS[1], unpack(gone))
end
return {start, looked, #gone}
