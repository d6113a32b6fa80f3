--[[ When there will be something to claim: the worker's tick asks this, and each claim ends with it. ]]
local Due = {}

local function head_of(name, id)
  return tonumber(redis.call('ZRANGE', Store.key(name, id), 0, 0, 'WITHSCORES')[2])
end

-- When the next due message may be sent, by its priority's part of the budget.
function Due.messages_at(free)
  local next_at = nil
  for _, priority in ipairs(PRIORITIES) do
    local at = head_of('due', priority)
    local free_at = priority == 'high' and free.at or free.common_at
    if at and free_at then at = math.max(at, free_at) end
    if at then next_at = math.min(next_at or at, at) end
  end
  return next_at
end

local function after_pause(next_at, pause, lease, now)
  next_at = math.max(next_at, tonumber(pause['until']))
  if pause.trouble ~= '1' then return next_at end
  local probe = Store.load_probe(now)
  if probe.token ~= '' then next_at = math.max(next_at, tonumber(probe.lease)) end
  return math.max(next_at, lease or 0)
end

function Due.next_in(windows, share, now)
  local free = Budget.free(windows, share, now)
  local next_at, ping_at = Due.messages_at(free), Presence.next_at()
  local lease, pause = head_of('leases'), Budget.pause(now)
  if ping_at then
    ping_at = math.max(ping_at, free.common_at or 0)
    next_at = math.min(next_at or ping_at, ping_at)
  end
  if next_at and pause then next_at = after_pause(next_at, pause, lease, now) end
  if lease then next_at = math.min(next_at or lease, lease) end
  if not next_at then return -1 end
  return math.max(0, math.ceil(next_at - tonumber(now)))
end
