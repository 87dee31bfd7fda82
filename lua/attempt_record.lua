-- attempt_record: (none) -> (none)
--
-- Add attempts to the lists of their endpoints. A list holds pairs: an id of 8 bytes, then the
-- attempt behind two times: since when the endpoint has done nothing but fail, and when it failed,
-- both 0 for an attempt that was delivered. A failure long after the one before counts as the
-- first: what the endpoint did between is unknown. An attempt that the list holds is not added
-- again, so a repeat of the call changes nothing.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 most       int  attempts that a list keeps
--   3 keep       int  ms for which a list is kept after its last attempt
--   4 gap        int  ms between two failures that belong together
--   5.. items    each: user, endpoint, id, when it failed or 0, attempt; at most 64
-- RETURNS a word and a detail for each item
--   written      the detail is since when the endpoint has done nothing but fail; 0 if it has not
--   known        the list held it already; the detail is the same
--   fault        not added; the detail is the error

local tag, most, keep, gap = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

-- Return since when the endpoint has failed, with a failure at this time.
local function since(last, failed)
  if failed == '0' then return '0' end
  local first, before = (last or ''):match('^(%d+) (%d+) ')
  if not first or first == '0' or tonumber(failed) - tonumber(before) > gap then return failed end
  return first
end

local function record(user, endpoint, id, failed, attempt)
  local key = tag .. 'attempts:' .. user .. ':' .. endpoint
  local last = try('LINDEX', key, -1)
  local known = not fault(last) and last and try('LPOS', key, id)
  local refused = fault(last) or fault(known)
  if refused then return answer('fault', refused) end
  if known then return answer('known', last:match('^%d+') or '0') end
  local first = since(last, failed)
  local length = try('RPUSH', key, id, first .. ' ' .. failed .. ' ' .. attempt)
  if fault(length) then return answer('fault', fault(length)) end
  if length > 2 * most then try('LTRIM', key, -2 * most, -1) end
  try('PEXPIRE', key, keep)
  answer('written', first)
end

for at = 5, #ARGV, 5 do record(unpack(ARGV, at, at + 4)) end
return answers
