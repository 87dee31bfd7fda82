-- collapse: (none) -> (none)
--
-- Note for users which notification is the newest of a collapse key, and tell which ones
-- were before. Asked again, each says the same, also after an error half-way; one that
-- others have come after is told so. Who only looks makes nothing newer.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 key        str  hex, stands for the producer and its collapse key
--   3 keep_ms    int  how long it is remembered
--   4 note       str  '1' notes what is not known yet; '' looks only
--   5.. items    each: user, notification or part id
-- RETURNS for each item the newest id and the last few of other notifications that ours
-- comes after, with blanks between them; '' and '' for one that was never noted

local ID = '^' .. ('%x'):rep(32)
-- The one before may have come to nothing, or have several parts.
local MOST = 4
local prefix, keep, answers = ARGV[1] .. 'newest:' .. ARGV[2] .. ':', ARGV[3], {}

-- Those of others that follow our own, newest first; nil where it is not among them.
local function after(chain, id)
  local found, first, others, many = false, id:match('^%x+'), '', 0
  for one in chain:gmatch('%S+') do
    if found and many < MOST and one:match('^%x+') ~= first then
      others, many = others .. ' ' .. one, many + 1
    end
    found = found or one == id
  end
  return found and others:sub(2) or nil
end

-- Return the newest and those before; what is not ours is left alone.
local function note(key, id)
  local chain = try('GET', key)
  local refused = fault(chain)
  -- Without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, chain end
  if refused or chain and (chain:find('[^%x. ]') or not chain:match(ID)) then return id, '' end
  local before = chain and after(chain, id)
  if before then return chain:match('^%S+'), before end
  if ARGV[4] == '' then return '', '' end
  -- A few are remembered, so that none of them comes back as the newest.
  local noted = (id .. ' ' .. (chain or '')):sub(1, 640):match('^(.*%S) *$')
  call('SET', key, noted, 'PX', keep)
  return id, after(noted, id)
end

for at = 5, #ARGV, 2 do
  local newest, before = note(prefix .. ARGV[at], ARGV[at + 1])
  if not newest then return before end
  answers[#answers + 1] = newest
  answers[#answers + 1] = before
end
return answers
