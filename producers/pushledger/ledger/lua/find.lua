--[[ Look through some of a list of messages for those that fit.
  KEYS[1] account prefix
  ARGV    now, name of the list ("map", "leases", "state:failed" …), cursor ('0' to begin), about how many to look at,
          'prefix' (of the id), 'message_id' (of the map's entry) or 'lane' (the visitor's digest in the record), and
          what that shall be
  Returns {cursor to go on with ('0': all were seen), looked at, id, id, …}. Reads only, so it may run twice. What stands
  in the list all the time is seen at least once. ]]
local list, cursor, by, needle = PREFIX .. ARGV[2], ARGV[3], ARGV[5], ARGV[6]

local function fits(id, value)
  if by == 'prefix' then return id:sub(1, #needle) == needle end
  if by == 'lane' then return redis.call('HGET', Store.key('message', id), 'lane') == needle end
  return ARGV[2] == 'map' and value:sub(-#needle - 1) == ' ' .. needle and Store.unpack_entry(value).message_id == needle
end

local page = redis.call(ARGV[2] == 'map' and 'HSCAN' or 'ZSCAN', list, cursor, 'COUNT', ARGV[4])
local flat, found = page[2], {}
for i = 1, #flat, 2 do
  if fits(flat[i], flat[i + 1]) then found[#found + 1] = flat[i] end
end
return { page[1], #flat / 2, unpack(found) }
