-- preference_query: (none) -> (none)
--
-- Read what users have stored about one type. A value that is too long is skipped. If the
-- key of a user has another type, nothing is returned for that user.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 field      str  the field of the type
--   3 longest    int  bytes of a field
--   4.. users
-- RETURNS six values for each user, empty if not set: of this type, of all types, whether
-- the user is silenced, the quiet hours, and whether the feed is wanted, of this type and of
-- all types

local prefix, field, longest = ARGV[1] .. 'preferences:', ARGV[2], tonumber(ARGV[3])
local own, found = 'in_app:' .. field, {}

for at = 4, #ARGV do
  local values = try('HMGET', prefix .. ARGV[at], field, '*', 'silenced', 'quiet', own, 'in_app:*')
  local refused = fault(values)
  -- Without the permission to read, no user may be treated as one without preferences.
  if refused and not refused:find('WRONGTYPE', 1, true) then return values end
  for i = 1, 6 do
    local value = not refused and values[i]
    found[#found + 1] = value and #value <= longest and value or false
  end
end
return found
