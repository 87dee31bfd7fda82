-- user_deliver: (published) -> (recent)
--
-- Append events to the recent lists of their users, each with the next offset of its user. A
-- list holds pairs: an id of 8 bytes, then the event behind its place, '<epoch>.<offset>.<check> '.
-- Its last pair is the top; a user without a list begins a new epoch, as one whose key has another
-- type. An event that the list holds keeps its place: a repeat, also by others, changes nothing.
-- A retraction is given with '-' before the id of what it takes back, and also replaces that in its
-- place, where the id gets the '-'. An event whose retraction the list holds is not appended.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 history    int  events that a list keeps
--   4 keep       int  ms for which a list is kept after its last event
--   5 epoch      str  what a new epoch begins with; no other call has the same
--   6.. items    each: user, id, event; at most 128
-- RETURNS a word, a place and a detail for each item
--   appended     the place is '<epoch>.<offset>.<check> ' and the check of the event before it, '0'
--                for the first one, empty if the list has lost it; the detail is a list of the
--                instances that hold a connection of the user
--   known        the same; the list held the event already
--   retracted    the same of its retraction, without instances: no user may be sent the event
--   fault        not done, or a retraction half; the detail is the error

local tag, now, history, keep = ARGV[1], now_ms(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local PLACE = '^(%w+)%.(%d+)%.(%x+) '
local MARK, ID_BYTES = '-', 8
-- How the text of a retraction begins, and no other: a msgpack array of one.
local LONE = '\145'

-- Return the check of an event: of its id, and of all before it in its epoch. A server that was
-- replaced may give an offset, and even the same event at it, another past.
local function check_of(before, id) return redis.sha1hex(before .. id):sub(1, 4) end

-- User -> the instances with a connection of the user.
local known_instances = {}

local function instances_of(user)
  local found = known_instances[user]
  if not found then
    local names = try('ZRANGEBYSCORE', tag .. 'presence:' .. user, '(' .. digits(now), '+inf')
    -- Whoever renews the presence of the user replaces a key of another type.
    found = fault(names) and {} or names
    known_instances[user] = found
  end
  return found
end

-- Return the epoch of a list, its top and the check there; or a new epoch, 0 and '0'; or the error
-- of a refused read.
local function top_of(key, new_epoch)
  local last = try('LINDEX', key, -1)
  local refused = fault(last)
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, refused end
  if not refused and not last then return new_epoch, 0, '0' end
  local epoch, offset, check
  if not refused then epoch, offset, check = last:match(PLACE) end
  if epoch then return epoch, tonumber(offset), check end
  refused = fault(try('DEL', key))
  if refused then return nil, refused end
  return new_epoch, 0, '0'
end

local function placed(epoch, offset, check, before)
  return ('%s.%s.%s %s'):format(epoch, offset, check, before)
end

-- Return where a list holds the id of an event for the last time, and the error of a refused read.
-- One look finds the event or its retraction, so that a delivery costs no second one.
local function find(key, id)
  local at = try('LPOS', key, id, 'RANK', -1)
  if fault(at) or not at then return nil, fault(at) end
  local found = try('LRANGE', key, math.max(0, at - 1), at + 1)
  if fault(found) then return nil, found.err end
  local epoch, offset, check, begin = (found[#found] or ''):match(PLACE .. '(.?)')
  local before = #found == 3 and found[1]:match('^%w+%.%d+%.(%x+) ') or ''
  if not epoch then return nil end
  return {at = at, place = placed(epoch, offset, check, before), retracts = begin == LONE}
end

-- Put a retraction in the place of the event before it, under a marked id: that at `newest` is the
-- one that is found. Return the error of a refused command.
local function empty(key, id, retraction, newest)
  local at = try('LPOS', key, id)
  if fault(at) or not at or at == newest then return fault(at) end
  local stored = try('LINDEX', key, at + 1)
  if fault(stored) then return stored.err end
  local place = (stored or ''):match('^%w+%.%d+%.%x+ ') or ''
  return fault(try('LSET', key, at + 1, place .. retraction)) or fault(try('LSET', key, at, MARK .. id))
end

local function deliver(number, user, given, event)
  local key, retracts = tag .. 'recent:' .. user, #given > ID_BYTES
  local id = retracts and given:sub(#MARK + 1) or given
  local epoch, top, before = top_of(key, ARGV[5] .. digits(number))
  if not epoch then return 'fault', '', top end
  local found, refused
  if top > 0 then found, refused = find(key, id) end
  -- Whether the list holds the event is unknown: it must not stand there twice.
  if refused then return 'fault', '', refused end
  if found and found.retracts and not retracts then return 'retracted', found.place, {} end
  if found and found.retracts == retracts then
    refused = retracts and empty(key, id, event, found.at)
    if refused then return 'fault', '', refused end
    return 'known', found.place, instances_of(user)
  end
  -- The check tells an event from its retraction, which a failover may put in its place.
  local offset, check = digits(top + 1), check_of(before, given)
  local length = try('RPUSH', key, id, ('%s.%s.%s '):format(epoch, offset, check) .. event)
  if fault(length) then return 'fault', '', length.err end
  refused = found and empty(key, id, event, length - 2)
  if refused then return 'fault', '', refused end
  if length > 2 * history then try('LTRIM', key, -2 * history, -1) end
  try('PEXPIRE', key, keep)
  return 'appended', placed(epoch, offset, check, before), instances_of(user)
end

local replies = {}
for at = 6, #ARGV, 3 do
  local word, place, detail = deliver((at - 6) / 3, ARGV[at], ARGV[at + 1], ARGV[at + 2])
  local last = #replies
  replies[last + 1], replies[last + 2], replies[last + 3] = word, place, detail
end
return replies
