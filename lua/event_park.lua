-- event_park: (pending) -> (parked)
--
-- Move an entry that a group cannot handle to the parked stream, with the reason, and
-- acknowledge it. Its fields are copied here, as 'entry.<field>', byte for byte. The first
-- command removes, so the script runs at maxmemory. An entry of the feed's backlog is deleted too:
-- nothing trims that.
--
-- KEYS
--   1 stream     stream  gateway events, or the feed's backlog
--   2 parked     stream  entries that consumers could not handle
--   3 never      the guard against a moving slot
-- ARGV
--   1 group      str
--   2 consumer   str
--   3 stream id  str
--   4 deliveries int  how often it was delivered
--   5 reason     str
--   6 max        int  how many parked entries are kept
--   7 delete     str  '1' deletes the entry, '' leaves it to trimming
-- RETURNS a word
--   parked       it is in the parked stream now
--   stale        it was not pending: nothing was written
--   gone         it was trimmed from the stream; it is acknowledged

local stream, parked, group, id = KEYS[1], KEYS[2], ARGV[1], ARGV[3]
local most_fields, deletes = 100, ARGV[7] == '1'

if #call('XPENDING', stream, group, id, id, 1) == 0 then return 'stale' end
local entry = call('XRANGE', stream, id, id)[1]
if not entry then
  call('XACK', stream, group, id)
  return 'gone'
end

local fields = {'group', group, 'consumer', ARGV[2], 'stream_id', id,
  'deliveries', ARGV[4], 'reason', ARGV[5]}
for at = 1, math.min(#entry[2], 2 * most_fields), 2 do
  fields[#fields + 1] = 'entry.' .. entry[2][at]
  fields[#fields + 1] = entry[2][at + 1]
end
call('XTRIM', parked, 'MAXLEN', '~', ARGV[6])
local copy = call('XADD', parked, '*', unpack(fields))
local acknowledged = try('XACK', stream, group, id)
if fault(acknowledged) then
  try('XDEL', parked, copy)
  return acknowledged
end
if deletes then try('XDEL', stream, id) end
return 'parked'
