--[[ Hand out what the people on duty shall be told: each signal to one worker, under a lease.
  KEYS[1] account prefix
  ARGV    now ('' = the server's clock), how many at most, lease in ms, age in ms of the oldest due message from which
          that is a signal ('0': never), how many are done, done …, held …
  `done` are signals that were told, and go; `held` are those that the caller still works on: their lease begins anew.
  Returns the signals taken.
  Messages that become held or failed note theirs as they are saved. How the account stands is compared here with what
  was told of it last: so a pause that ends by its time is seen, however idle the account is, and one that came and
  went between two looks is not told.
  Closes: two workers telling the same. A worker that dies leaves its signals to the others when the lease is over, so
  each is told at least once, and again only when its teller died or stopped. When it runs twice because its reply was
  lost, what it took is taken again after the lease. ]]
local now, wanted, lease_ms, age = Store.now(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local done_end = 5 + tonumber(ARGV[5])
local signals, signalled = Store.key('signals'), Store.key('signalled')
local lease = string.format('%.0f', tonumber(now) + lease_ms)

-- The first write is a removal, though of nothing: so a full server takes the others too, and the tick goes on.
redis.call('ZREM', signals, '')
for i = 6, done_end do redis.call('ZREM', signals, ARGV[i]) end
for i = done_end + 1, #ARGV do redis.call('ZADD', signals, 'XX', lease, ARGV[i]) end

local told = Store.table(redis.call('HGETALL', signalled))

local function see_pause()
  local pause = Budget.pause(now)
  local stands = pause and (tonumber(pause['until']) > tonumber(now) or pause.trouble == '1')
  if stands and told.pause ~= pause.reason then
    redis.call('HSET', signalled, 'pause', pause.reason)
    Store.signal('paused', pause['until'] .. ' ' .. pause.reason, now)
  elseif told.pause and not stands then
    redis.call('HDEL', signalled, 'pause')
    Store.signal('resumed', told.pause, now)
  end
end

-- Over only at half the age: a backlog that stays at the limit would be told of each second.
local function see_oldest()
  local oldest = nil
  for _, priority in ipairs(PRIORITIES) do
    local due = tonumber(redis.call('ZRANGE', Store.key('due', priority), 0, 0, 'WITHSCORES')[2])
    if due and due < (oldest or math.huge) then oldest = due end
  end
  local waits = oldest and tonumber(now) - oldest or 0
  if not told.overdue and oldest and waits >= age then
    redis.call('HSET', signalled, 'overdue', string.format('%.0f', oldest))
    Store.signal('overdue', string.format('%.0f', oldest), now)
  elseif told.overdue and waits < age / 2 then
    redis.call('HDEL', signalled, 'overdue')
    Store.signal('caught_up', told.overdue, now)
  end
end

see_pause()
if age > 0 then see_oldest() end
if wanted <= 0 then return {} end
local taken = redis.call('ZRANGEBYSCORE', signals, '-inf', now, 'LIMIT', 0, wanted)
for _, one in ipairs(taken) do redis.call('ZADD', signals, 'XX', lease, one) end
return taken
