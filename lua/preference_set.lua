-- preference_set: (none) -> (none)
--
-- Store preferences of users. The mark of the shard is set first: without it, accept does
-- not check preferences. Fields are set before others are removed, so that a refusal in
-- between leaves too many, never too few, and a repeat completes it. A change that only
-- removes fields also runs at maxmemory.
--
-- KEYS
--   1 preferred  string the mark of the shard
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 most       int  fields that a user may have
--   3.. users    each: user, '1' to remove all other fields, number of fields, then
--                each field with its value, '' to remove it
-- RETURNS a word and a detail for each user; without users, the shard is marked
--   changed      it is stored
--   same         it was stored before
--   full         the user would have too many fields; nothing was stored
--   foreign      the key of the user has another type; it is not touched
--   fault        not everything was stored; the detail is the error

local preferred, prefix, most = KEYS[1], ARGV[1] .. 'preferences:', tonumber(ARGV[2])

local function mark()
  local reply = try('EXISTS', preferred)
  if reply == 0 then reply = try('SET', preferred, '1') end
  return fault(reply)
end

local function answer_refused(refused)
  if refused:find('WRONGTYPE', 1, true) then return answer('foreign') end
  return answer('fault', refused)
end

-- Return the fields to set with values, their names, the names to remove, and all names given.
local function sort(at, size)
  local sets, names, gone, given = {}, {}, {}, {}
  for i = at + 3, at + 1 + 2 * size, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    given[name] = true
    if value == '' then
      gone[#gone + 1] = name
    else
      names[#names + 1] = name
      sets[#sets + 1] = name
      sets[#sets + 1] = value
    end
  end
  return sets, names, gone, given
end

-- Return how many of the fields to set are new, and whether any of them changes.
local function compare(held, sets)
  local new, differs = 0, false
  for i, value in ipairs(held) do
    if not value then new = new + 1 end
    if value ~= sets[2 * i] then differs = true end
  end
  return new, differs
end

local function store(key, whole, sets, names, gone, given)
  local size, held = try('HLEN', key), try('HMGET', key, unpack(names))
  local all = whole and not fault(size) and size <= 4 * most and try('HKEYS', key) or {}
  local refused = fault(size) or fault(held) or fault(all)
  if refused then return answer_refused(refused) end
  local new, differs = compare(held, sets)
  if size > 4 * most or (whole and #names or size + new) > most then return answer('full') end
  refused = mark() or differs and fault(try('HSET', key, unpack(sets)))
  if refused then return answer('fault', refused) end
  for _, name in ipairs(all) do
    if not given[name] then gone[#gone + 1] = name end
  end
  local removed = #gone > 0 and try('HDEL', key, unpack(gone)) or 0
  if fault(removed) then return answer('fault', removed.err) end
  answer((differs or removed > 0) and 'changed' or 'same')
end

local function remove(key, whole, gone)
  local size, removed = try('HLEN', key), 0
  local refused = fault(size)
  if not refused and whole then
    removed = try('DEL', key)
  elseif not refused and #gone > 0 then
    removed = try('HDEL', key, unpack(gone))
  end
  refused = refused or fault(removed)
  if refused then return answer_refused(refused) end
  answer(removed > 0 and 'changed' or 'same')
end

if #ARGV == 2 then
  local refused = mark()
  if refused then return redis.error_reply(refused) end
end
local at = 3
while ARGV[at] do
  local size = tonumber(ARGV[at + 2])
  local sets, names, gone, given = sort(at, size)
  local key, whole = prefix .. ARGV[at], ARGV[at + 1] == '1'
  if #sets > 0 then
    store(key, whole, sets, names, gone, given)
  else
    remove(key, whole, gone)
  end
  at = at + 3 + 2 * size
end
return answers
