--[[ Say that a delivery has begun: the next record sends a wake-up again, and a heartbeat is noted that came through
  broker and worker.
  KEYS[1] account prefix        ARGV  now ('' = the server's clock)
  Returns 1. Run twice, it does the same. The removal stands first, so that a full server takes both. ]]
redis.call('DEL', Store.key('wake'))
redis.call('SET', Store.key('heartbeat'), Store.now(ARGV[1]))
return 1
