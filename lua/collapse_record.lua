-- collapse_record: (none) -> (none)
--
-- Note for users which notification is the newest of a collapse key, and tell which ones
-- ours comes before and after. Asked again, each says the same, also after an error
-- half-way; one that others have come after is told so. Who only looks makes nothing newer.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 key        str  hex, stands for the producer and its collapse key
--   3 keep_ms    int  how long it is remembered
--   4 note       str  '1' notes what is not known yet; '' looks only
--   5.. items    each: user, notification or part id
-- RETURNS for each item the ids that are newer and the last few that are older, with
-- blanks between them, newest first

local ID = '^' .. ('%x'):rep(32)
-- The last one may have come to nothing.
local OLDER = 2
local prefix, keep, answers = ARGV[1] .. 'newest:' .. ARGV[2] .. ':', ARGV[3], {}

-- Those of others before and behind our own; nil where it is not among them.
local function around(chain, id)
  if not (' ' .. chain .. ' '):find(' ' .. id .. ' ', 1, true) then return nil end
  local found, first, last, many = false, id:match('^%x+'), '', 0
  local newer, older = '', ''
  for one in chain:gmatch('%S+') do
    local other = one:match('^%x+')
    if one == id then
      found = true
    elseif other ~= first and not found then
      newer = newer .. ' ' .. one
    elseif other ~= first then
      if other ~= last then last, many = other, many + 1 end
      if many > OLDER then break end
      older = older .. ' ' .. one
    end
  end
  return newer:sub(2), older:sub(2)
end

-- A later part stands beside the others of its notification, as new as they are.
local function join(chain, id)
  local place = (' ' .. chain):find(' ' .. id:match('^%x+'), 1, true) or 1
  return chain:sub(1, place - 1) .. id .. ' ' .. chain:sub(place)
end

-- Return the newer and the older ones; what is not ours is left alone.
local function note(key, id)
  local chain = try('GET', key)
  local refused = fault(chain)
  -- Without the permission to look nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, chain end
  if refused or chain and (chain:find('[^%x. ]') or not chain:match(ID)) then return '', '' end
  local newer, older = around(chain or '', id)
  if newer then return newer, older end
  -- What was noted and is not known any more is older than what is.
  if ARGV[4] == '' then return chain or '', '' end
  -- A few are remembered, so that none of them comes back as the newest.
  local noted = join(chain or '', id):sub(1, 640):match('^(.*%S) *$')
  call('SET', key, noted, 'PX', keep)
  newer, older = around(noted, id)
  return newer or '', older or ''
end

for at = 5, #ARGV, 2 do
  local newer, older = note(prefix .. ARGV[at], ARGV[at + 1])
  if not newer then return older end
  answers[#answers + 1] = newer
  answers[#answers + 1] = older
end
return answers
