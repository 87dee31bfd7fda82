-- collapse: (none) -> (none)
--
-- Note for users which notification is the newest of a collapse key, and tell which one
-- was before. Asked again, each says the same; one that others have come after is told so.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 key        str  hex, stands for the producer and its collapse key
--   3 keep_ms    int  how long it is remembered
--   4.. items    each: user, notification or part id
-- RETURNS for each item the newest id and the one before it ('' = none)

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

for at = 4, #ARGV, 2 do
  local key, id = prefix .. ARGV[at], ARGV[at + 1]
  local chain = try('GET', key)
  local refused = fault(chain)
  if refused and not refused:find('WRONGTYPE', 1, true) then return chain end
  chain = not refused and chain or ''
  local before = refused and '' or after(chain, id)
  if not before then
    before = chain:match('^%S+') or ''
    -- A few are remembered, so that none of them comes back as the newest.
    chain = (id .. ' ' .. chain):sub(1, 640):match('^(.*%S) *$')
    call('SET', key, chain, 'PX', keep)
  end
  answers[#answers + 1] = chain:match('^%S+') or id
  answers[#answers + 1] = before
end
return answers
