-- collapse: (none) -> (none)
--
-- Note for users which notification is the newest of a collapse key, and tell which one
-- was before. Asked again, each says the same, also after an error half-way; one that
-- others have come after is told so.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 key        str  hex, stands for the producer and its collapse key
--   3 keep_ms    int  how long it is remembered
--   4.. items    each: user, notification or part id
-- RETURNS for each item the newest id and the one before it ('' = none)

local ID = '^' .. ('%x'):rep(32)
local prefix, keep, answers = ARGV[1] .. 'newest:' .. ARGV[2] .. ':', ARGV[3], {}

-- The ids that follow our own, newest first; nil where it is not among them.
local function after(chain, id)
  local found
  for one in chain:gmatch('%S+') do
    if found then return one end
    found = one == id
  end
  return found and '' or nil
end

-- Return the newest and the one before; what is not ours is left alone.
local function note(key, id)
  local chain = try('GET', key)
  local refused = fault(chain)
  -- Without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, chain end
  if refused or chain and not chain:match(ID) then return id, '' end
  local before = chain and after(chain, id)
  if before then return chain:match('^%S+'), before end
  -- A few are remembered, so that none of them comes back as the newest.
  call('SET', key, (id .. ' ' .. (chain or '')):sub(1, 640):match('^(.*%S) *$'), 'PX', keep)
  return id, chain and chain:match('^%S+') or ''
end

for at = 4, #ARGV, 2 do
  local newest, before = note(prefix .. ARGV[at], ARGV[at + 1])
  if not newest then return before end
  answers[#answers + 1] = newest
  answers[#answers + 1] = before
end
return answers
