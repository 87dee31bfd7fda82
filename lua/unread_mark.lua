-- unread_mark: (none) -> (none)
--
-- Write the counts of users' feeds into their unread marks, where they are newer: of a later
-- epoch, or of the same epoch and a later version. So it does not matter in which order writers
-- come, and a repeat of the call changes nothing.
-- A key of another type, and a mark that cannot be read, are replaced.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 keep       int  ms for which a mark is kept after it was written
--   4.. items    each: user, unread, unseen, version, epoch; at most 128
-- RETURNS a word and a detail for each item
--   written      the detail is a list of the instances that hold a connection of the user
--   known        the mark has these counts, or newer ones
--   fault        nothing was written; the detail is the error

local tag, now, keep = ARGV[1], now_ms(ARGV[2]), ARGV[3]

-- Return a number that is exact here; nil for anything else.
local function number_of(text)
  return text and #text <= 15 and text:find('^%d+$') and tonumber(text) or nil
end

-- Return whether a mark must be written, or the error of a refused read.
local function is_older(key, version, epoch)
  local kept = try('HMGET', key, 'epoch', 'version', 'unread', 'unseen')
  local refused = fault(kept)
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, refused end
  if refused then
    refused = fault(try('DEL', key))
    return not refused, refused
  end
  local old_epoch, old_version = number_of(kept[1]), number_of(kept[2])
  if not (old_epoch and old_version and number_of(kept[3]) and number_of(kept[4])) then return true end
  if old_epoch ~= tonumber(epoch) then return old_epoch < tonumber(epoch) end
  return old_version < tonumber(version)
end

local function instances_of(user)
  local names = try('ZRANGEBYSCORE', tag .. 'presence:' .. user, '(' .. digits(now), '+inf')
  -- The next renewal of the user's presence replaces a key of another type.
  return fault(names) and {} or names
end

local function mark(user, unread, unseen, version, epoch)
  local key = tag .. 'unread:' .. user
  local older, refused = is_older(key, version, epoch)
  if refused then return answer('fault', refused) end
  if not older then return answer('known') end
  local fields = {'unread', unread, 'unseen', unseen, 'version', version, 'epoch', epoch}
  refused = fault(try('HSET', key, unpack(fields)))
  if refused then return answer('fault', refused) end
  try('PEXPIRE', key, keep)
  answer('written', instances_of(user))
end

for at = 4, #ARGV, 5 do mark(unpack(ARGV, at, at + 4)) end
return answers
