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

-- Who lets others pass stands in line again behind them when its own time comes: else both would go side by side.
local function give_up_place(head, lane)
  redis.call('ZREM', Store.key('lane', lane), head.id)
  redis.call('HDEL', Store.key('message', head.id), 'laned')
end

-- The messages of the lane that have to go before this one; none when this one may go.
local function before(m, policy, now)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', Store.key('lane', m.lane), 0, 20)) do
    if id == m.id then return found end
    local earlier = Store.load(id)
    if not lets_pass(earlier, policy, now) then
      found[#found + 1] = earlier
    elseif #found == 0 then
      give_up_place(earlier, m.lane)
    end
  end
  return found
end

--[[ May this message, whose create is due, go now? If not, it is looked at again when the one before it leaves the
  lane, or after lane_wait; and those before it go with this one's priority from now on, if theirs is lower. ]]
function Lane.may_go(m, policy, now)
  enter(m)
  local earlier = before(m, policy, now)
  if #earlier == 0 then return true end
  m.due = string.format('%.0f', tonumber(now) + policy.lane_wait)
  m.reason = 'lane'
  for _, one in ipairs(earlier) do
    if RANK[Store.queue(m)] > RANK[Store.queue(one)] then
      one.boost = Store.queue(m)
      Store.save(one, policy, now)
    end
  end
  return false
end

-- The lane a message stood in, if it is to leave it now.
function Lane.left(m)
  if m.stored.laned == '1' and not (Message.needs_lane(m) and m.lane == m.stored.lane) then return m.stored.lane end
  return nil
end

-- Take the message out of its lane, and let the next one be looked at: the first that waits for nothing but the lane.
function Lane.leave(m, lane, policy, now)
  local key = Store.key('lane', lane)
  redis.call('ZREM', key, m.id)
  for _, id in ipairs(redis.call('ZRANGE', key, 0, 20)) do
    local following = Store.load(id)
    if following.reason == 'lane' then
      Message.wait_from(following, policy, now)
      return Store.save(following, policy, now)
    end
    if not lets_pass(following, policy, now) then return end
  end
end

-- A change that is held back to fold stands in the lane already: else one of higher priority could overtake it.
function Lane.arrive(m, now)
  if Message.needs_lane(m) and (m.due == '' or Message.may_be_sent_from(m) <= tonumber(now)) then enter(m) end
end
