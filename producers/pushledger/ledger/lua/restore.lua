--[[ Put an exported entry back into the map, unless the ledger knows the message already.
  KEYS[1] account prefix        ARGV  local id, entry
  Returns 1 if it was put back. Run twice, it finds it there the second time. ]]
local id = ARGV[1]
if redis.call('EXISTS', Store.key('message', id)) == 1 then return 0 end
return redis.call('HSETNX', Store.key('map'), id, ARGV[2])
