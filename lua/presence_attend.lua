-- presence_attend: (none) -> (none)
--
-- Note that an instance holds connections of users, and return the tops of their recent lists and
-- their unread marks: an instance that missed an event, or counts, in its inbox finds them by this.
-- What has expired is removed.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 now        int  or '' for the server's clock
--   3 ttl        int  ms until the presence expires
--   4 instance   str
--   5.. users    at most 250
-- RETURNS two values for each user: the place of the top, '<epoch>.<offset>.<check>', '0.0.0'
-- without a list, '' if the presence could not be noted; and '<unread> <unseen> <version> <epoch>',
-- '' without a mark

local tag, now, ttl, instance = ARGV[1], now_ms(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function attend(key)
  local added = try('ZADD', key, digits(now + ttl), instance)
  local refused = fault(added)
  if refused and refused:find('WRONGTYPE', 1, true) then
    try('DEL', key)
    refused = fault(try('ZADD', key, digits(now + ttl), instance))
  end
  if refused then return refused end
  try('ZREMRANGEBYSCORE', key, '-inf', digits(now))
  try('PEXPIRE', key, digits(ttl))
end

local function top_of(user)
  local last = try('LINDEX', tag .. 'recent:' .. user, -1)
  return (not fault(last) and last or ''):match('^(%w+%.%d+%.%x+) ') or '0.0.0'
end

-- As one text: lists inside of the reply would take Redis longer than all the rest.
local function counts_of(user)
  local mark = try('HMGET', tag .. 'unread:' .. user, 'unread', 'unseen', 'version', 'epoch')
  local unread, unseen, version, epoch = mark[1], mark[2], mark[3], mark[4]
  if not (unread and unseen and version and epoch) then return '' end
  return unread .. ' ' .. unseen .. ' ' .. version .. ' ' .. epoch
end

local replies = {}
for at = 5, #ARGV do
  local user, last = ARGV[at], #replies
  local refused = attend(tag .. 'presence:' .. user)
  replies[last + 1], replies[last + 2] = refused and '' or top_of(user), refused and '' or counts_of(user)
end
return replies
