-- preference_read: (none) -> (none)
--
-- Read all preferences of users: of a page of all users, or of the users named.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 most       int  fields that a user may have
--   3 longest    int  bytes of a field; a longer one is returned empty
--   4 cursor     str  from the page before; '0' begins, '' reads only the users named
--   5 pattern    str  of the keys of users of this shard
--   6 count      int  about how many keys a page has
--   7.. users
-- RETURNS the next cursor, and for each user the name and a list of fields and values, or
--   foreign      the key has another type
--   crowded      the key has too many fields

local prefix, most, longest = ARGV[1] .. 'preferences:', tonumber(ARGV[2]), tonumber(ARGV[3])
local cursor, users, met = ARGV[4], {}, {}

-- Return the error if the user may not be read.
local function read(user)
  local key = prefix .. user
  local size = try('HLEN', key)
  local refused = fault(size)
  if refused and not refused:find('WRONGTYPE', 1, true) then return size end
  if refused then return answer(user, 'foreign') end
  if size > most then return answer(user, 'crowded') end
  local fields = try('HGETALL', key)
  if fault(fields) then return fields end
  for i, text in ipairs(fields) do
    if #text > longest then fields[i] = '' end
  end
  answer(user, fields)
end

local function meet(user)
  if not met[user] then met[user], users[#users + 1] = true, user end
end

if cursor ~= '' then
  local page = call('SCAN', cursor, 'MATCH', ARGV[5], 'COUNT', ARGV[6])
  cursor = page[1]
  for _, key in ipairs(page[2]) do meet(key:sub(#prefix + 1)) end
end
for at = 7, #ARGV do meet(ARGV[at]) end
for _, user in ipairs(users) do
  local refused = read(user)
  if refused then return refused end
end
return {cursor, answers}
