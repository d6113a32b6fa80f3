--[[ Ask whether a wake-up is needed now, and take it upon oneself to send it.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), windows, share kept for high priority, life of wake-ups in ms,
          name of who asks
  Returns {wake, next in ms or -1}; wake is 1 when something can be claimed and no wake-up is pending.
  Closes: every worker's tick waking a delivery at once. Run twice, it answers the same name the same.
  It also keeps the account's history, as it is the one script that runs each second wherever a worker is. ]]
local now, wake = Store.now(ARGV[1]), Store.key('wake')
--[[ A sample of the counters once a minute, the last 24 hours. Whichever tick finds the last sample old takes the next;
  a server that is full shall not hinder the tick, so a refusal to write is passed over. ]]
local SAMPLES, EVERY = 1440, 60000
local COUNTERS = { 'jobs', 'calls', 'folded', 'unchanged', 'cancelled', 'throttled', 'refused', 'outcome_confirmed' }

local function take_sample()
  local history = Store.key('history')
  local last = redis.call('LINDEX', history, -1)
  if last and math.abs(tonumber(now) - tonumber(last:match('^%d+'))) < EVERY then return end
  local line, counted = { now }, redis.call('HMGET', Store.key('stats'), unpack(COUNTERS))
  for i, name in ipairs(COUNTERS) do line[#line + 1] = name .. '=' .. (counted[i] or 0) end
  local waiting = redis.call('ZCARD', Store.key('leases'))
  for _, priority in ipairs(PRIORITIES) do waiting = waiting + redis.call('ZCARD', Store.key('due', priority)) end
  line[#line + 1] = 'waiting=' .. waiting
  redis.pcall('RPUSH', history, table.concat(line, ' '))
  redis.pcall('LTRIM', history, -SAMPLES, -1)
end

take_sample()
local next_in = Due.next_in(Budget.windows(ARGV[2]), tonumber(ARGV[3]), now)
if next_in ~= 0 then return { 0, next_in } end
local mine = redis.call('SET', wake, ARGV[5], 'NX', 'PX', ARGV[4]) or redis.call('GET', wake) == ARGV[5]
return { mine and 1 or 0, next_in }
