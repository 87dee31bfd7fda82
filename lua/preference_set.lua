-- preference_set: (none) -> (none)
--
-- Store preferences of users. The mark of the shard is set first: without it, accept does
-- not check preferences. Fields are set before others are removed, so that a refusal in
-- between leaves too many, never too few, and a repeat completes it. A change that only
-- removes fields also runs at maxmemory. A change may depend on what was read before; a repeat
-- that finds all of it made does not, but one after a fault does.
--
-- KEYS
--   1 preferred  string the mark of the shard
--   2 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 most       int  fields that a user may have
--   3 longest    int  bytes of a field; a longer one counts as empty in a digest
--   4.. users    each: user, '1' to remove all other fields, the digests of which the stored
--                fields must have one (with spaces between; '' for any), number of fields,
--                then each field with its value, '' to remove it
-- RETURNS a word and a detail for each user; without users, the shard is marked
--   changed      it is stored
--   same         it was stored before
--   stale        the stored fields have another digest; nothing was stored
--   full         the user would have too many fields; nothing was stored
--   foreign      the key of the user has another type; it is not touched
--   fault        not everything was stored; the detail is the error

local preferred, prefix = KEYS[1], ARGV[1] .. 'preferences:'
local most, longest = tonumber(ARGV[2]), tonumber(ARGV[3])

local function mark()
  local reply = try('EXISTS', preferred)
  if reply == 0 then reply = try('SET', preferred, '1') end
  return fault(reply)
end

local function answer_refused(refused)
  if refused:find('WRONGTYPE', 1, true) then return answer('foreign') end
  return answer('fault', refused)
end

-- Return the fields to set with values, their names, the names to remove, and all as given.
local function sort(at, size)
  local sets, names, gone, given = {}, {}, {}, {}
  for i = at + 4, at + 2 + 2 * size, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    given[name] = value
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

-- Return the digest of fields; Python makes the same one of what it reads.
local function digest(fields)
  local each = {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    each[#each + 1] = redis.sha1hex(#name .. ':' .. name .. (#value > longest and '' or value))
  end
  -- Hexadecimal digits have one order in every locale; names need not.
  table.sort(each)
  return redis.sha1hex(table.concat(each))
end

-- Return whether a change would change any of these fields.
local function changes(fields, whole, names, given)
  local found = 0
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if given[name] and (given[name] == '' or given[name] ~= value) then return true end
    if given[name] then found = found + 1 elseif whole then return true end
  end
  return found < #names
end

-- Answer a change that must not be made; return whether it was answered.
local function refuse_stale(key, whole, expected, names, given)
  local size, fields = try('HLEN', key), {}
  local is_read = not fault(size) and size <= 4 * most
  if is_read then fields = try('HGETALL', key) end
  local refused = fault(size) or fault(fields)
  if refused then
    answer_refused(refused)
  elseif is_read and not changes(fields, whole, names, given) then
    return false
  elseif is_read and (' ' .. expected .. ' '):find(' ' .. digest(fields) .. ' ', 1, true) then
    return false
  else
    answer('stale')
  end
  return true
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

if #ARGV == 3 then
  local refused = mark()
  if refused then return redis.error_reply(refused) end
end
local at = 4
while ARGV[at] do
  local expected, size = ARGV[at + 2], tonumber(ARGV[at + 3])
  local sets, names, gone, given = sort(at, size)
  local key, whole = prefix .. ARGV[at], ARGV[at + 1] == '1'
  if expected ~= '' and refuse_stale(key, whole, expected, names, given) then
    -- It is answered.
  elseif #sets > 0 then
    store(key, whole, sets, names, gone, given)
  else
    remove(key, whole, gone)
  end
  at = at + 4 + 2 * size
end
return answers
