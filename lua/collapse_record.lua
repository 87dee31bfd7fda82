-- collapse_record: (none) -> (none)
--
-- Record the newest notification of a collapse key for each user, and return which ones
-- are newer and older than the given one. A repeat returns the same, also after an error
-- in the middle, unless newer ones arrived. A call that only reads records nothing.
--
-- KEYS
--   1 never      the guard against a moving slot
-- ARGV
--   1 tag        str  prefix of every key of the shard
--   2 key        str  hex, identifies the producer and its collapse key
--   3 keep_ms    int  how long it is kept
--   4 note       str  '1' records an unknown one; '' only reads
--   5 most       int  older notifications to return
--   6.. items    each: user, notification or part id
-- RETURNS for each item the newer ids and the last older ids, newest first, separated by
-- blanks

local ID = '^' .. ('%x'):rep(32)
local prefix, keep, most = ARGV[1] .. 'newest:' .. ARGV[2] .. ':', ARGV[3], tonumber(ARGV[5])

-- Return the newer and the older ids of other notifications; nil if this id is unknown.
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
      if many > most then break end
      older = older .. ' ' .. one
    end
  end
  return newer:sub(2), older:sub(2)
end

-- A later part is inserted beside the other parts of its notification: it is as new as they are.
local function join(chain, id)
  local place = (' ' .. chain):find(' ' .. id:match('^%x+'), 1, true) or 1
  return chain:sub(1, place - 1) .. id .. ' ' .. chain:sub(place)
end

-- Return the newer and the older ids; a value of another client is not touched.
local function note(key, id)
  local chain = try('GET', key)
  local refused = fault(chain)
  -- Without the permission to read, nothing is known.
  if refused and not refused:find('WRONGTYPE', 1, true) then return nil, chain end
  if refused or chain and (chain:find('[^%x. ]') or not chain:match(ID)) then return '', '' end
  local newer, older = around(chain or '', id)
  if newer then return newer, older end
  -- If this id was recorded and forgotten, all that are known are newer.
  if ARGV[4] == '' then return chain or '', '' end
  -- Several are kept, so that none of them returns as the newest.
  local noted = join(chain or '', id):sub(1, 640):match('^(.*%S) *$')
  call('SET', key, noted, 'PX', keep)
  newer, older = around(noted, id)
  return newer or '', older or ''
end

for at = 6, #ARGV, 2 do
  local newer, older = note(prefix .. ARGV[at], ARGV[at + 1])
  if not newer then return older end
  answers[#answers + 1] = newer
  answers[#answers + 1] = older
end
return answers
