--[[ Lanes: creates of one visitor go out one at a time, in the order in which they were accepted (R13).
  lane:<digest>  zset  the ids of waiting creates by the number drawn when they were first due; the head may go
  A message enters when its create is first due, and leaves when that is confirmed, or when it is held, failed,
  expired or no longer wanted; one that has been retrying for longer than lane_wait lets the others pass. ]]
Lane = {} -- declared in store.lua, which calls it
local RANK = { low = 1, normal = 2, high = 3 }

local function enter(m)
  if m.laned == '1' then return end
  redis.call('ZADD', Store.key('lane', m.lane), 'NX', redis.call('INCR', Store.key('lane_number')), m.id)
  m.laned = '1'
end

local function lets_pass(head, policy, now)
  if not Message.needs_lane(head) then return true end
  return head.state == 'retrying' and tonumber(head.failing_since) and tonumber(now) - tonumber(head.failing_since) >= policy.lane_wait
end

-- The first message of the lane that has to go before this one, or nil when this one may go.
local function before(m, policy, now)
  for _, id in ipairs(redis.call('ZRANGE', Store.key('lane', m.lane), 0, 20)) do
    if id == m.id then return nil end
    local head = Store.load(id)
    if not lets_pass(head, policy, now) then return head end
  end
  return nil
end

--[[ May this message, whose create is due, go now? If not, it is looked at again when the one before it leaves the
  lane, or after lane_wait; and the one before it goes with this one's priority from now on. ]]
function Lane.may_go(m, policy, now)
  enter(m)
  local head = before(m, policy, now)
  if not head then return true end
  m.due = string.format('%.0f', tonumber(now) + policy.lane_wait)
  m.reason = 'lane'
  if RANK[Store.queue(m)] > RANK[Store.queue(head)] then
    head.boost = Store.queue(m)
    Store.save(head, policy, now)
  end
  return false
end

-- The lane a message stood in, if it is to leave it now.
function Lane.left(m)
  if m.stored.laned == '1' and not (Message.needs_lane(m) and m.lane == m.stored.lane) then return m.stored.lane end
  return nil
end

-- Take the message out of its lane, and let the next one be looked at.
function Lane.leave(m, lane, policy, now)
  local key = Store.key('lane', lane)
  redis.call('ZREM', key, m.id)
  for _, id in ipairs(redis.call('ZRANGE', key, 0, 0)) do
    local following = Store.load(id)
    if following.state == 'queued' and following.reason == 'lane' then
      Message.wait_from(following, policy, now)
      Store.save(following, policy, now)
    end
  end
end

function Lane.arrive(m, now)
  if Message.needs_lane(m) and (m.due == '' or tonumber(m.due) <= tonumber(now)) then enter(m) end
end
