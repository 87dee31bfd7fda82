-- recent_read: (recent) -> (unchanged)
--
-- Read what users missed behind a place that they had: all of it, or the reason why it is not
-- all there. The place is that of an event which the list still holds, with the same check, or
-- offset 0, the beginning of every list.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 most       int  missed events from which on nothing is read
--   3 count      int  events to read for each user; more of them are read by another call. It is 1
--                     for the users behind a MiB of events
--   4.. places   each: user, epoch, offset, check; '0', 0, '0' is the beginning of any list
-- RETURNS a word, the place of the top and a list of ids and events for each place
--   read         the events behind the place, in order; without a list the top is '0.0.0'
--   unknown      the list has another epoch, or is gone
--   rolled_back  the place is not in the list: it was given out by a server that was replaced
--   trimmed      the list has lost events behind the place, or the event at the place
--   too_many     more events than `most` are behind the place
--   fault        the list cannot be read; the place is the error

local tag, most, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- Bytes of events, behind which a call reads one event for each user.
local BUDGET = 1048576
local spent = 0

-- Return the word of a place, and how many events are behind it.
local function compare(key, epoch, offset, check, top_epoch, top)
  local behind = top - offset
  if epoch == '0' then
    if top > most then return 'too_many' end
    return 2 * top > try('LLEN', key) and 'trimmed' or 'read', behind
  end
  if epoch ~= top_epoch then return 'unknown' end
  if behind < 0 then return 'rolled_back' end
  if behind > most then return 'too_many' end
  local event = try('LINDEX', key, -2 * behind - 1)
  if fault(event) or not event then return 'trimmed' end
  if event:match('^%w+%.%d+%.(%x+) ') ~= check then return 'rolled_back' end
  return 'read', behind
end

local function read(user, epoch, offset, check)
  local key = tag .. 'recent:' .. user
  local last = try('LINDEX', key, -1)
  local refused = fault(last)
  if refused and not refused:find('WRONGTYPE', 1, true) then return {'fault', refused, {}} end
  local top_epoch, top, top_check = (not refused and last or ''):match('^(%w+)%.(%d+)%.(%x+) ')
  -- A key that is no recent list counts as absent: the next event replaces it.
  if not top then return {epoch == '0' and 'read' or 'unknown', '0.0.0', {}} end
  local word, behind = compare(key, epoch, tonumber(offset), check, top_epoch, tonumber(top))
  local events = {}
  if word == 'read' and behind > 0 then
    local most = spent > BUDGET and 1 or count
    events = try('LRANGE', key, -2 * behind, -2 * math.max(0, behind - most) - 1)
    if fault(events) then return {'fault', events.err, {}} end
    for _, part in ipairs(events) do spent = spent + #part end
  end
  return {word, ('%s.%s.%s'):format(top_epoch, top, top_check), events}
end

local replies = {}
for at = 4, #ARGV, 4 do
  replies[#replies + 1] = read(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
return replies
