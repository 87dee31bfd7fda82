-- Records and states (README.md, "Formats"), read by route_publish. Only the form in which our own
-- packer writes msgpack is read: so the bytes that are copied are those that Python would write.
-- Any other form is left to Python, which reports what is wrong with it. Forged bytes may make
-- these functions raise any error, so they run under pcall.
local WIDTH = {[204] = 1, [205] = 2, [206] = 4, [207] = 8}
local LEAST = {[204] = 128, [205] = 256, [206] = 65536, [207] = 4294967296}

local function unreadable() error('', 0) end

-- Return the integer at a place, and the place behind it.
local function integer(raw, at)
  local head = raw:byte(at)
  if head < 128 then return head, at + 1 end
  local value, behind = 0, at + 1 + WIDTH[head]
  for place = at + 1, behind - 1 do value = value * 256 + raw:byte(place) end
  if value < LEAST[head] then unreadable() end
  return value, behind
end

-- Return the text at a place, and the place behind it. ASCII is valid UTF-8; other texts are left.
local function text(raw, at)
  local head, size, more = raw:byte(at, at + 2)
  local from
  if head >= 160 and head < 192 then
    from, size = at + 1, head - 160
  elseif head == 217 and size >= 32 then
    from = at + 2
  elseif head == 218 and size >= 1 then
    from, size = at + 3, size * 256 + more
  else
    unreadable()
  end
  local found = raw:sub(from, from + size - 1)
  if found:find('[\128-\255]') then unreadable() end
  return found, from + size
end

-- What the notifications of one type and producer share; most of a batch follow one with the same.
local kinds, recent = {}, {named = '', behind = 0}

local function read_kind(raw)
  local name, type_end = text(raw, 20)
  local _, behind = text(raw, type_end)
  if name == '' then unreadable() end
  local named = raw:sub(20, behind - 1)
  if kinds[named] then return kinds[named] end
  local found = {named = named, behind = behind, type = name, count = 0}
  found.packed = '\164type' .. raw:sub(20, type_end - 1) .. '\168producer' .. raw:sub(type_end, behind - 1)
  kinds[named] = found
  return found
end

local NAMES = {[10] = 'request_id', [11] = 'trace_id', [12] = 'traceparent'}
local NONE = {routes = 1, fields = {}}

-- Read the fields that only some records have: 5 due, 6 expiry, 7 parts, 8 routes, 9 idempotency
-- key, 10 request id, 11 trace id, 12 traceparent.
local function read_options(raw, at, count)
  local found, fields, value = {}, {}, nil
  for index = 5, count do
    if index <= 6 and raw:byte(at) == 192 then
      value, at = nil, at + 1
    elseif index <= 8 then
      value, at = integer(raw, at)
    else
      value, at = text(raw, at)
      if NAMES[index] and value ~= '' then
        fields[#fields + 1], fields[#fields + 2] = NAMES[index], value
      end
    end
    found[index] = value
  end
  local parts = found[7] or 1
  if at ~= #raw + 1 or parts < 1 or parts > 999999 then unreadable() end
  return {expires = found[6], routes = found[8] or 1, is_keyed = found[9] and found[9] ~= '', fields = fields,
    traceparent = found[12] ~= '' and found[12]}
end

-- The first byte of a content, a map -> the first bytes of its payload, a map with four fields more.
local FIRST = {}
for fields = 0, 11 do FIRST[128 + fields] = string.char(132 + fields) .. '\175notification_id' end
local SIZE = {}
for size = 1, 64 do SIZE[size] = size < 32 and string.char(160 + size) or '\217' .. string.char(size) end

-- Return the payload of a record, its kind and its options; nothing if Python must read it.
local function read_record(id, raw)
  local format, _, _, _, _, _, _, _, _, count, created = raw:byte(1, 11)
  if format ~= 49 or created ~= 207 or count < 148 or count > 156 then return end
  if raw:sub(20, recent.behind - 1) ~= recent.named then recent = read_kind(raw) end
  local kind = recent
  local head, b1, b2, b3, b4, b5 = raw:byte(kind.behind, kind.behind + 5)
  local from, size, first
  if head == 196 then
    from, size, first = kind.behind + 2, b1, b2
  elseif head == 197 then
    from, size, first = kind.behind + 3, b1 * 256 + b2, b3
  elseif head == 198 then
    from, size, first = kind.behind + 5, ((b1 * 256 + b2) * 256 + b3) * 256 + b4, b5
  end
  local behind, options = from + size, NONE
  if count > 148 then
    options = read_options(raw, behind, count - 144)
  elseif behind ~= #raw + 1 then
    return
  end
  local payload = FIRST[first] .. SIZE[#id] .. id .. kind.packed .. raw:sub(from + 1, behind - 1)
    .. '\173created_at_ms' .. raw:sub(11, 19)
  return payload, kind, options
end

-- Return 13 digits of time as msgpack.
local function packed_time(time)
  time = tonumber(time)
  if time < 4294967296 then unreadable() end
  local bytes = ''
  for _ = 1, 8 do
    bytes = string.char(time % 256) .. bytes
    time = math.floor(time / 256)
  end
  return '\207' .. bytes
end

-- Return the lines of a history, the last of them with the time of the state.
local function read_lines(state, at, count)
  local from, _ = at, nil
  for index = 1, count do
    if state:byte(at) ~= 150 then unreadable() end
    _, at = text(state, at + 1)
    local time_at = at
    _, at = integer(state, at)
    local time_end = at
    _, at = text(state, at)
    _, at = integer(state, at)
    _, at = text(state, at)
    _, at = text(state, at)
    if index == count then
      return state:sub(from, time_at - 1) .. packed_time(state:sub(AT, DUE - 1)) .. state:sub(time_end, at - 1), at
    end
  end
  return '', at
end

-- Return the body of a state with one line more, and the generation; the route has no attempt.
local function longer_body(state, line)
  if #state == BODY - 1 then return '\148\1\0\0\145' .. line, 1 end
  local generation, attempts, most, lines
  local at = BODY + 1
  generation, at = integer(state, at)
  attempts, at = integer(state, at)
  most, at = integer(state, at)
  local count, counts = state:byte(at) - 144, state:sub(BODY, at - 1)
  if state:byte(BODY) ~= 148 or attempts ~= 0 or count < 0 or count > 14 then unreadable() end
  if generation >= 2147483648 or most >= 2147483648 then unreadable() end
  lines, at = read_lines(state, at + 1, count)
  if at ~= #state + 1 then unreadable() end
  return counts .. string.char(145 + count) .. lines .. line, generation
end
