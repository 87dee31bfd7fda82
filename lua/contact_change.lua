-- contact_change: (none) -> (none)
--
-- Change contacts of a user: all that is asked for, or nothing. What a contact must hold keeps
-- a change from undoing one that was made since the caller read it; a repeat that finds its
-- change made does no harm. New contacts are stored before old ones are removed, so that a
-- refusal in between leaves too many, never too few, and a repeat completes it. A change that
-- only removes contacts also runs at maxmemory.
--
-- KEYS
--   1 contacts   hash   the contacts of the user
--   2 never      the guard against a moving slot
-- ARGV
--   1 most       int  contacts that a user may have of a channel
--   2 longest    int  contacts of a user that are looked at
--   3 whole      str  channels, each with a space before and behind, of which all contacts that
--                     are not named below are removed
--   4.. contacts each: its field, what it must hold ('' nothing, '*' anything), and its new
--                value, '' to remove it
-- RETURNS a word and a detail
--   changed      it is stored
--   same         it was stored before
--   stale        a contact holds something else; nothing was stored
--   full         the user would have too many contacts of a channel; nothing was stored
--   foreign      the key has another type; it is not touched
--   fault        not everything was stored; the detail is the error

local key, most, longest, whole = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local function channel_of(field) return field:match('^[^/]*') end

local function refuse(refused)
  if refused:find('WRONGTYPE', 1, true) then return answer('foreign') end
  return answer('fault', refused)
end

-- Return what the fields hold, by name; false if that is answered.
local function read_held(named)
  local size, held = try('HLEN', key), {}
  local refused = fault(size)
  if refused then return refuse(refused) end
  if size > longest then return answer('full') end
  for _, field in ipairs(named) do
    local value = try('HGET', key, field)
    refused = fault(value)
    if refused then return refuse(refused) end
    held[field] = value
  end
  return held
end

-- Return what is to be set, and the names to remove; nothing if a contact holds something else.
local function compare(held)
  local sets, gone = {}, {}
  for at = 4, #ARGV, 3 do
    local field, expected, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local now = held[field] or ''
    if now ~= value then
      if expected ~= '*' and now ~= expected then return answer('stale') end
      if value == '' then
        gone[#gone + 1] = field
      else
        sets[#sets + 1] = field
        sets[#sets + 1] = value
      end
    end
  end
  return sets, gone
end

-- Add the other contacts of whole channels to those that go; return whether one of the channels
-- would have too many.
local function count_left(fields, named, sets, gone)
  local left, lost = {}, {}
  for _, field in ipairs(gone) do lost[field] = true end
  for _, field in ipairs(fields) do
    local channel = channel_of(field)
    if not named[field] and whole:find(' ' .. channel .. ' ', 1, true) then
      gone[#gone + 1], lost[field] = field, true
    end
    if not lost[field] then left[field] = channel end
  end
  for i = 1, #sets, 2 do left[sets[i]] = channel_of(sets[i]) end
  for _, channel in pairs(left) do tally(channel, 1) end
  for i = 1, #sets, 2 do
    if counts[channel_of(sets[i])] > most then return true end
  end
  return false
end

local function store(sets, gone)
  local written = #sets > 0 and try('HSET', key, unpack(sets)) or 0
  local refused = fault(written)
  local removed = not refused and #gone > 0 and try('HDEL', key, unpack(gone)) or 0
  refused = refused or fault(removed)
  if refused then return answer('fault', refused) end
  answer((#sets > 0 or removed > 0) and 'changed' or 'same')
end

local names, named = {}, {}
for at = 4, #ARGV, 3 do
  names[#names + 1], named[ARGV[at]] = ARGV[at], true
end
local held = read_held(names)
if not held then return answers end
local sets, gone = compare(held)
if not sets then return answers end
local fields = try('HKEYS', key)
if fault(fields) then
  refuse(fault(fields))
elseif count_left(fields, named, sets, gone) then
  answer('full')
else
  store(sets, gone)
end
return answers
