--[[ Say that a delivery has begun: the next record sends a wake-up again, a heartbeat is noted that came through broker
  and worker, and with it the budget that the worker keeps to: whoever forecasts reads it there.
  KEYS[1] account prefix        ARGV  now ('' = the server's clock), share for high priority, windows ("100/3600000 …")
  Returns 1. Run twice, it does the same. The removal stands first, so that a full server takes all. ]]
redis.call('DEL', Store.key('wake'))
redis.call('SET', Store.key('heartbeat'), Store.now(ARGV[1]))
redis.call('SET', Store.key('rate'), ARGV[2] .. ' ' .. ARGV[3])
return 1
