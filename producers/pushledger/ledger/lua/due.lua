--[[ When there will be something to claim: the worker's tick asks this, and each claim ends with it. ]]
local Due = {}

function Due.next_in(windows, now)
  local next_at = nil
  for _, priority in ipairs(PRIORITIES) do
    local head = redis.call('ZRANGE', Store.key('due', priority), 0, 0, 'WITHSCORES')
    if head[2] then next_at = math.min(next_at or tonumber(head[2]), tonumber(head[2])) end
  end
  if next_at then
    local free, at = Budget.free(windows, 1, now)
    if free == 0 and at then next_at = math.max(next_at, at) end
    local pause = Budget.pause(now)
    if pause then
      next_at = math.max(next_at, tonumber(pause['until']))
      local probe = pause.trouble == '1' and redis.call('ZRANGE', Store.key('leases'), 0, 0, 'WITHSCORES') or {}
      if probe[2] then next_at = math.max(next_at, tonumber(probe[2])) end
    end
  end
  local lease = redis.call('ZRANGE', Store.key('leases'), 0, 0, 'WITHSCORES')
  if lease[2] then next_at = math.min(next_at or tonumber(lease[2]), tonumber(lease[2])) end
  if not next_at then return -1 end
  return math.max(0, math.ceil(next_at - tonumber(now)))
end
