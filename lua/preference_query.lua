-- preference_query: (none) -> (none)
--
-- Read what is stored of users that concerns one type. What is too long to be ours is
-- passed over, and of a user whose key holds something else nothing is known.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 field      str  the field of the type
--   3 longest    int  bytes of a field of ours
--   4.. users
-- RETURNS four values for each user, absent ones empty: of the type, of every type, whether
-- the user is silenced, the quiet hours

local prefix, field, longest = ARGV[1] .. 'preferences:', ARGV[2], tonumber(ARGV[3])
local found = {}

for at = 4, #ARGV do
  local values = try('HMGET', prefix .. ARGV[at], field, '*', 'silenced', 'quiet')
  local refused = fault(values)
  -- Without the permission to look, nobody may be taken for one who wants everything.
  if refused and not refused:find('WRONGTYPE', 1, true) then return values end
  for i = 1, 4 do
    local value = not refused and values[i]
    found[#found + 1] = value and #value <= longest and value or false
  end
end
return found
