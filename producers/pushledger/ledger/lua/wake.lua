--[[ Ask whether a wake-up is needed now, and take it upon oneself to send it.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), windows, share kept for high priority, life of wake-ups in ms,
          name of who asks
  Returns {wake, next in ms or -1}; wake is 1 when something can be claimed and no wake-up is pending.
  Closes: every worker's tick waking a delivery at once. Run twice, it answers the same name the same. ]]
local now, wake = Store.now(ARGV[1]), Store.key('wake')
local next_in = Due.next_in(Budget.windows(ARGV[2]), tonumber(ARGV[3]), now)
if next_in ~= 0 then return { 0, next_in } end
local mine = redis.call('SET', wake, ARGV[5], 'NX', 'PX', ARGV[4]) or redis.call('GET', wake) == ARGV[5]
return { mine and 1 or 0, next_in }
