--[[ Pause the account by hand, or resume it.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), for how long in ms ('' to resume), reason, what the audit trail
          shall say ('' for nothing)
  Returns 1. A pause by hand takes the place of any other; resuming ends whatever pause stands, and trouble that is
  still there begins its own again. Run twice, it does the same. ]]
local now, duration = Store.now(ARGV[1]), ARGV[2]
local key = Store.key('pause')
redis.call('DEL', key)
if duration == '' then
  redis.call('DEL', Store.key('streak'))
else
  local ends = string.format('%.0f', tonumber(now) + tonumber(duration))
  redis.call('HSET', key, 'until', ends, 'reason', ARGV[3], 'trouble', '0', 'by_hand', '1')
end
Store.audit(ARGV[4], duration == '' and 'resumed' or 'paused', now)
return 1
