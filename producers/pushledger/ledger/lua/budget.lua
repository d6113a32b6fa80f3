--[[ The account's budget and pause, shared by every process. A window of N calls in T milliseconds is a set
  of slots; a slot is drawn at the claim, and free again T after the end of the call (R12): at the claim it is
  noted as if the worker died at once and its lease ran out. What the API itself says is left
  (x-sib-ratelimit-*) tightens it. ]]
local Budget = {}

-- "100/3600000 10/1000" -> {{limit, window}, …}; '' sets no limit.
function Budget.windows(text)
  local windows = {}
  for limit, window in text:gmatch('(%d+)/(%d+)') do
    windows[#windows + 1] = { tonumber(limit), tonumber(window) }
  end
  return windows
end

local function slots(window, part) return Store.key('slots', string.format('%.0f', window) .. (part and ':' .. part or '')) end

-- What is left of one set of slots, and when the next one is free if none is.
local function left_of(key, limit, now)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local left = limit - redis.call('ZCARD', key)
  if left > 0 then return left, nil end
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return 0, tonumber(head[2] or now)
end

local function heard_left(now)
  local heard = redis.call('HMGET', Store.key('budget'), 'remaining', 'until')
  if not heard[1] or tonumber(heard[2]) <= tonumber(now) then return math.huge, nil end
  return math.max(0, tonumber(heard[1])), tonumber(heard[2])
end

--[[ What may be claimed now: {all, at, common, common_at}. `common` is for calls that are not of high priority,
  which leave a share of each window alone; `at` says when the next one is free, if there is none. ]]
function Budget.free(windows, share, now)
  local heard, heard_at = heard_left(now)
  local free = { all = heard, common = heard }
  if heard == 0 then free.at, free.common_at = heard_at, heard_at end
  for _, window in ipairs(windows) do
    local limit = window[1]
    local all, at = left_of(slots(window[2]), limit, now)
    local common, common_at = all, at
    if share > 0 then common, common_at = left_of(slots(window[2], 'common'), limit - math.floor(limit * share), now) end
    free.all, free.common = math.min(free.all, all), math.min(free.common, common)
    if at then free.at = math.max(free.at or 0, at) end
    if common_at then free.common_at = math.max(free.common_at or 0, common_at) end
  end
  free.common = math.min(free.common, free.all)
  if free.at then free.common_at = math.max(free.common_at or 0, free.at) end
  return free
end

function Budget.draw(windows, share, token, lease, priority)
  for _, window in ipairs(windows) do
    local free_at = tonumber(lease) + window[2]
    redis.call('ZADD', slots(window[2]), free_at, token)
    if share > 0 and priority ~= 'high' then redis.call('ZADD', slots(window[2], 'common'), free_at, token) end
  end
  if redis.call('EXISTS', Store.key('budget')) == 1 then redis.call('HINCRBY', Store.key('budget'), 'remaining', -1) end
end

-- A call that belongs to no message: a ping, or a reading. Its token stands until it is settled or its lease is over.
function Budget.begin_errand(token, lease, now)
  local key = Store.key('errands')
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, lease, token)
end

function Budget.is_errand(token) return redis.call('ZSCORE', Store.key('errands'), token) ~= false end
function Budget.end_errand(token) return redis.call('ZREM', Store.key('errands'), token) == 1 end

local function in_the_air(name, now) return redis.call('ZCOUNT', Store.key(name), now, '+inf') end

-- Is any call in the air: a message's, an errand's, or a probe?
function Budget.is_calling(now)
  return in_the_air('leases', now) + in_the_air('errands', now) > 0 or Store.load_probe(now).token ~= ''
end

-- The call has ended: its slots come back one window from now, or at once if it surely never left (R12).
function Budget.ended(windows, token, unsent, now)
  for _, window in ipairs(windows) do
    for _, key in ipairs({ slots(window[2]), slots(window[2], 'common') }) do
      if unsent then
        redis.call('ZREM', key, token)
      else
        redis.call('ZADD', key, 'XX', tonumber(now) + window[2], token)
      end
    end
  end
end

--[[ What an answer said is left. Answers of calls side by side may come in any order, and each counts only
  those processed before it: calls in the air are taken off and the lowest figure of one remote window stands;
  an answer that comes while nothing else is in the air is exact. ]]
function Budget.heard(remaining, reset_ms, now)
  if remaining == '' or reset_ms == '' then return end
  local key, ends = Store.key('budget'), tonumber(now) + tonumber(reset_ms)
  local others = redis.call('ZCARD', Store.key('leases')) + in_the_air('errands', now)
  local left = tonumber(remaining) - others
  local known = redis.call('HMGET', key, 'remaining', 'until')
  if others > 0 and known[1] and math.abs(tonumber(known[2]) - ends) < 2000 then
    left, ends = math.min(left, tonumber(known[1])), math.max(ends, tonumber(known[2]))
  end
  redis.call('HSET', key, 'remaining', left, 'until', string.format('%.0f', ends))
  redis.call('PEXPIRE', key, math.max(1, ends - tonumber(now)))
end

-- ---------------------------------------------------------------- pause

function Budget.pause(now)
  local pause = Store.table(redis.call('HGETALL', Store.key('pause')))
  return pause['until'] and pause or nil
end

--[[ The whole account waits, until the time given; a pause that is longer already stays. One for trouble is
  left standing when its time is over: one call at a time then probes, until an answer ends it. Calls that were
  in the air together and meet the same trouble count as one strike. ]]
function Budget.pause_until(ends, reason, trouble, now)
  local key = Store.key('pause')
  local standing = redis.call('HMGET', key, 'until', 'trouble', 'by_hand')
  if standing[1] and tonumber(standing[1]) > tonumber(ends) then return end
  local stands = standing[1] and tonumber(standing[1]) > tonumber(now)
  -- A success would end a pause for trouble, and with it the one by hand in whose place it came.
  if trouble and stands and (standing[2] == '1' or standing[3] == '1') then return end
  if not stands then redis.call('HDEL', key, 'by_hand') end
  redis.call('HSET', key, 'until', ends, 'reason', reason, 'trouble', trouble and '1' or '0')
  if trouble then redis.call('HINCRBY', key, 'strikes', 1) end
end

function Budget.trouble_is_over(now)
  local pause = Budget.pause(now)
  if pause and pause.trouble == '1' then redis.call('DEL', Store.key('pause')) end
end
